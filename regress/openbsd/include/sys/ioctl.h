/* ioctl(2), tty(4). */
#ifndef OPENBSD_SYS_IOCTL_H
#define OPENBSD_SYS_IOCTL_H

struct winsize {
	unsigned short ws_row, ws_col, ws_xpixel, ws_ypixel;
};
#define TIOCGWINSZ 0x40087468UL
#define FIONREAD   0x4004667fUL

int ioctl(int, unsigned long, ...);

#endif /* OPENBSD_SYS_IOCTL_H */
