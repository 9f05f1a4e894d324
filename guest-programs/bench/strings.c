// Strings and structures: words are cut from a text, looked up in a sorted tree by comparison, counted; numbers
// become digits and are read back.
#include "bench.h"
#include "memory.h"

#define TEXT_BYTES 40000
#define WORDS 4096
#define WORD_BYTES 16

struct word {
    struct word *less, *more;
    uint32_t count;
    uint16_t length;
    char text[WORD_BYTES];
};

static char text[TEXT_BYTES + 1];
static struct word words[WORDS];

static size_t length_of(const char *s) {
    size_t length = 0;
    while (s[length] != '\0')
        length++;
    return length;
}

static int compare(const char *a, const char *b) {
    while (*a != '\0' && *a == *b)
        a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

static char *put_number(char *to, uint32_t number) {
    char digits[10];
    int count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    while (count > 0)
        *to++ = digits[--count];
    return to;
}

static void write_text(uint64_t state) {
    char *to = text;
    while (to < text + TEXT_BYTES - WORD_BYTES) {
        uint64_t random = next_random(&state);
        for (int n = 2 + (random & 3); n > 0; n--, random >>= 5)
            *to++ = (char)('a' + (random >> 8 & 7));
        if (random & 0x100)
            to = put_number(to, random >> 9 & 0xff);
        *to++ = ' ';
    }
    *to = '\0';
}

static struct word *count_words(void) {
    struct word *root = NULL;
    size_t used = 0;
    for (const char *from = text; *from != '\0';) {
        char word[WORD_BYTES];
        size_t length = 0;
        for (; *from != ' ' && *from != '\0'; from++)
            if (length < WORD_BYTES - 1)
                word[length++] = *from;
        word[length] = '\0';
        from += *from == ' ';
        struct word **at = &root;
        while (*at != NULL) {
            int order = compare(word, (*at)->text);
            if (order == 0)
                break;
            at = order < 0 ? &(*at)->less : &(*at)->more;
        }
        if (*at == NULL) {
            if (used == WORDS)
                continue;
            struct word *fresh = &words[used++];
            *fresh = (struct word){.length = (uint16_t)length_of(word)};
            memcpy(fresh->text, word, length + 1);
            *at = fresh;
        }
        (*at)->count++;
    }
    return root;
}

static uint64_t sum_words(const struct word *word, uint64_t sum) {
    for (; word != NULL; word = word->more) {
        sum = sum_words(word->less, sum);
        uint64_t number = 0;
        for (const char *from = word->text; *from != '\0'; from++)
            number = *from <= '9' ? number * 10 + (uint64_t)(*from - '0') : number + (uint64_t)*from;
        sum = mix(sum, number + word->count * word->length);
    }
    return sum;
}

uint64_t strings(uint64_t rounds) {
    uint64_t sum = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        write_text(round + 29);
        sum = sum_words(count_words(), sum);
    }
    return sum;
}
