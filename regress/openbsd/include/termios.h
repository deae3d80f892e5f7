/* tcsetattr(3). */
#ifndef OPENBSD_TERMIOS_H
#define OPENBSD_TERMIOS_H

typedef unsigned int tcflag_t;
typedef unsigned char cc_t;
struct termios {
	tcflag_t c_iflag, c_oflag, c_cflag, c_lflag;
	cc_t c_cc[20];
	int c_ispeed, c_ospeed;
};
#define VMIN      16
#define VTIME     17
#define ECHO      0x00000008U
#define ISIG      0x00000080U
#define ICANON    0x00000100U
#define TCSANOW   0
#define TCSADRAIN 1
#define TCSAFLUSH 2

int tcgetattr(int, struct termios *);
int tcsetattr(int, int, const struct termios *);

#endif /* OPENBSD_TERMIOS_H */
