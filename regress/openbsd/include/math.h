/* math(3). */
#ifndef OPENBSD_MATH_H
#define OPENBSD_MATH_H

#define NAN             __builtin_nanf("")
#define INFINITY        __builtin_inff()
#define HUGE_VAL        __builtin_inf()
#define isnan(x)        __builtin_isnan(x)
#define isinf(x)        __builtin_isinf(x)
#define isfinite(x)     __builtin_isfinite(x)
#define signbit(x)      __builtin_signbit(x)
#define FLT_EVAL_METHOD __FLT_EVAL_METHOD__
double fabs(double);
double floor(double);
double ceil(double);
double round(double);
double trunc(double);
double fmod(double, double);
double pow(double, double);
double log(double);
double log10(double);
double sqrt(double);
double frexp(double, int *);
double ldexp(double, int);
double nextafter(double, double);
long long llround(double);

#endif /* OPENBSD_MATH_H */
