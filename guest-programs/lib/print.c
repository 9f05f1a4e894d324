#include "print.h"
#include <stdarg.h>

#define UART_THR 0
#define UART_LSR 5
#define LSR_THRE 0x20

void print_byte(char byte) {
    while (!(read8(UART + UART_LSR) & LSR_THRE)) {
    }
    write8(UART + UART_THR, (uint8_t)byte);
}

char *put_u64(char *to, uint64_t value) {
    char digits[20];
    int count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    while (count > 0)
        *to++ = digits[--count];
    return to;
}

char *put_i64(char *to, int64_t value) {
    if (value >= 0)
        return put_u64(to, (uint64_t)value);
    *to++ = '-';
    return put_u64(to, 0 - (uint64_t)value);
}

char *put_hex64(char *to, uint64_t value) {
    for (int shift = 60; shift >= 0; shift -= 4)
        *to++ = "0123456789abcdef"[value >> shift & 15];
    return to;
}

static void print_text(const char *from, const char *end) {
    while (from < end)
        print_byte(*from++);
}

void print(const char *format, ...) {
    va_list args;
    va_start(args, format);
    for (const char *f = format; *f != '\0'; f++) {
        if (*f != '%') {
            print_byte(*f);
            continue;
        }
        char text[20];
        bool padded = false;
        bool wide = false;
        for (f++; *f >= '0' && *f <= '9'; f++)
            padded = true;
        if (*f == 'l') {
            wide = true;
            f++;
        }
        switch (*f) {
        case 's':
            for (const char *s = va_arg(args, const char *); *s != '\0'; s++)
                print_byte(*s);
            break;
        case 'c':
            print_byte((char)va_arg(args, int));
            break;
        case 'd':
            print_text(text, put_i64(text, wide ? va_arg(args, int64_t) : va_arg(args, int)));
            break;
        case 'u':
            print_text(text, put_u64(text, wide ? va_arg(args, uint64_t) : va_arg(args, unsigned)));
            break;
        case 'x': {
            char *end = put_hex64(text, va_arg(args, uint64_t));
            const char *from = text;
            while (!padded && from < end - 1 && *from == '0')
                from++;
            print_text(from, end);
            break;
        }
        default:
            print_byte(*f);
            break;
        }
    }
    va_end(args);
}
