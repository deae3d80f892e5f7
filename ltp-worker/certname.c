/*
 * Names in certificates.  A CA may have signed what its applicants made up, so
 * a NUL in the middle or a control character makes a name none at all.
 */
#include "certname.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#include "msg.h"

#define NITEMS(a) (sizeof(a) / sizeof((a)[0]))

static bool
certname_is_good(const uint8_t *p, size_t len, bool ascii)
{
	size_t i;

	if (len == 0 || len > LTP_ID_MAX)
		return false;
	for (i = 0; i < len; i++) {
		if (p[i] < 0x20 || p[i] == 0x7f || (ascii && p[i] > 0x7f))
			return false;
		/* U+0080 to U+009f */
		if (p[i] == 0xc2 && i + 1 < len && p[i + 1] < 0xa0)
			return false;
	}
	return true;
}

/* The case of a host does not count; that of what is before it may. */
static void
certname_lower(char *host)
{
	for (; *host != '\0'; host++)
		*host = (char)tolower((unsigned char)*host);
}

static char *
certname_ip(const ASN1_OCTET_STRING *ip)
{
	char text[INET6_ADDRSTRLEN];
	int len = ASN1_STRING_length(ip);

	if (len != 4 && len != 16)
		return NULL;
	if (inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(ip),
		text, sizeof(text)) == NULL)
		return NULL;
	return strdup(text);
}

static char *
certname_text(const ASN1_STRING *s, int type)
{
	const uint8_t *p = ASN1_STRING_get0_data(s);
	size_t len = (size_t)ASN1_STRING_length(s);
	char *text, *at;

	if (!certname_is_good(p, len, true) ||
	    (text = strndup((const char *)p, len)) == NULL)
		return NULL;
	if (type == GEN_DNS)
		certname_lower(text);
	else if (type == GEN_EMAIL && (at = strrchr(text, '@')) != NULL)
		certname_lower(at);
	return text;
}

/* *found says that there is one, good or not. */
static char *
certname_alternative(X509 *x, bool *found)
{
	static const int order[] = { GEN_URI, GEN_DNS, GEN_EMAIL, GEN_IPADD };
	GENERAL_NAMES *names;
	char *text = NULL;
	size_t i;
	int j, why;

	names = X509_get_ext_d2i(x, NID_subject_alt_name, &why, NULL);
	/* -1: there is none; else it is there twice, or cannot be read. */
	*found = names == NULL && why != -1;
	if (names == NULL)
		return NULL;
	for (i = 0; i < NITEMS(order) && !*found; i++) {
		for (j = 0; j < sk_GENERAL_NAME_num(names); j++) {
			const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, j);

			if (n->type != order[i])
				continue;
			*found = true;
			text = order[i] == GEN_IPADD
				   ? certname_ip(n->d.iPAddress)
				   : certname_text(n->d.ia5, order[i]);
			break;
		}
	}
	GENERAL_NAMES_free(names);
	return text;
}

/* Of two common names neither is the name. */
static char *
certname_common(X509 *x)
{
	X509_NAME *subject = X509_get_subject_name(x);
	unsigned char *utf8 = NULL;
	X509_NAME_ENTRY *entry;
	char *text = NULL;
	int at, len;

	at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at < 0 ||
	    X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return NULL;
	entry = X509_NAME_get_entry(subject, at);
	len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
	if (len > 0 && certname_is_good(utf8, (size_t)len, false))
		text = strndup((const char *)utf8, (size_t)len);
	OPENSSL_free(utf8);
	return text;
}

char *
certname(X509 *x)
{
	bool found;
	char *name = certname_alternative(x, &found);

	return found ? name : certname_common(x);
}
