/* ctype(3). */
#ifndef OPENBSD_CTYPE_H
#define OPENBSD_CTYPE_H

int isalnum(int);
int isalpha(int);
int isdigit(int);
int isprint(int);
int isgraph(int);
int isspace(int);
int isupper(int);
int islower(int);
int isxdigit(int);
int iscntrl(int);
int ispunct(int);
int tolower(int);
int toupper(int);

#endif /* OPENBSD_CTYPE_H */
