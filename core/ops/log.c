#include "ops/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 1000 /* for a reader that does not read */

enum log_format log_format_for(int fd)
{
    return isatty(fd) ? LOG_TEXT : LOG_JSON;
}

static bool append_text(struct buf *b, const char *text)
{
    return buf_append(b, text, strlen(text));
}

/* The length of the UTF-8 sequence at `at` (RFC 3629, section 4), 0 when it is none. */
static size_t utf8_len(const unsigned char *at, size_t left)
{
    size_t len = at[0] < 0x80 ? 1 : at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;

    if (at[0] > 0xf4 || len == 0 || len > left) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f)) {
        return 0;
    }
    return len;
}

/* One character of a JSON string (RFC 8259, section 7); what is not UTF-8 becomes U+FFFD. Returns
 * how many bytes it took. */
static size_t append_json_char(struct buf *b, const unsigned char *at, size_t left, bool *ok)
{
    size_t len = utf8_len(at, left);
    char escape[8];

    if (len == 0) {
        *ok = append_text(b, "\\ufffd");
        return 1;
    }
    if (at[0] == '"' || at[0] == '\\') {
        snprintf(escape, sizeof escape, "\\%c", at[0]);
    } else if (at[0] < 0x20 || at[0] == 0x7f) {
        snprintf(escape, sizeof escape, "\\u%04x", at[0]);
    } else {
        *ok = buf_append(b, at, len);
        return len;
    }
    *ok = append_text(b, escape);
    return 1;
}

static bool append_json_string(struct buf *b, const char *text, size_t len)
{
    bool ok = append_text(b, "\"");

    for (size_t i = 0; ok && i < len;) {
        i += append_json_char(b, (const unsigned char *)text + i, len - i, &ok);
    }
    return ok && append_text(b, "\"");
}

/* RFC 3339 in UTC, or the local time of day for people. */
static void format_time(char *text, size_t len, unsigned long long time_ms, bool short_form)
{
    time_t seconds = (time_t)(time_ms / 1000);
    unsigned ms = (unsigned)(time_ms % 1000);
    struct tm tm;
    char date[32];

    if (short_form) {
        localtime_r(&seconds, &tm);
        strftime(date, sizeof date, "%H:%M:%S", &tm);
        snprintf(text, len, "%s.%03u", date, ms);
    } else {
        gmtime_r(&seconds, &tm);
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(text, len, "%s.%03uZ", date, ms);
    }
}

static bool is_printable(unsigned char c)
{
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

/* Without what could steer a terminal. */
static bool append_printable(struct buf *b, const char *text, size_t len)
{
    bool ok = true;

    while (ok && len > 0) {
        size_t run = 0;
        char escape[8];

        while (run < len && is_printable((unsigned char)text[run])) {
            run++;
        }
        ok = buf_append(b, text, run);
        if (ok && run < len) {
            snprintf(escape, sizeof escape, "\\x%02X", (unsigned char)text[run++]);
            ok = append_text(b, escape);
        }
        text += run;
        len -= run;
    }
    return ok;
}

static bool format_as_text(struct buf *b, const struct log_line *line)
{
    char time[48];
    char head[192];

    format_time(time, sizeof time, line->time_ms, true);
    snprintf(head, sizeof head, "%s %s[%d] %s| ", time, line->name, line->pid,
             line->is_stderr ? "err" : "out");
    return append_text(b, head) && append_printable(b, line->text, line->len) &&
           append_text(b, "\n");
}

static bool format_as_json(struct buf *b, const struct log_line *line)
{
    char time[48];
    char middle[64];

    format_time(time, sizeof time, line->time_ms, false);
    snprintf(middle, sizeof middle, ",\"pid\":%d,\"stream\":\"%s\",\"line\":", line->pid,
             line->is_stderr ? "stderr" : "stdout");
    return append_text(b, "{\"time\":\"") && append_text(b, time) &&
           append_text(b, "\",\"name\":") &&
           append_json_string(b, line->name, strlen(line->name)) && append_text(b, middle) &&
           append_json_string(b, line->text, line->len) && append_text(b, "}\n");
}

bool log_format_line(struct buf *b, enum log_format format, const struct log_line *line)
{
    return format == LOG_JSON ? format_as_json(b, line) : format_as_text(b, line);
}

/* Whether a write of PIPE_BUF bytes would not block, at the latest in `wait_ms`. */
static bool takes_more(int fd, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    int ready;

    do {
        ready = poll(&p, 1, wait_ms);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

static bool write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        size_t piece = len < PIPE_BUF ? len : PIPE_BUF;
        ssize_t written = takes_more(fd, PATIENCE_MS) ? write(fd, bytes, piece) : 0;

        if (written > 0) {
            bytes += written;
            len -= (size_t)written;
        } else if (written == 0 || (errno != EINTR && errno != EAGAIN)) {
            return false;
        }
    }
    return true;
}

/* A pipe whose reader has gone is no reason to die: the SIGPIPE of this write, and only that one,
 * is taken back before anybody sees it. */
static bool write_without_sigpipe(int fd, const uint8_t *bytes, size_t len)
{
    const struct timespec now = {0};
    sigset_t sigpipe;
    sigset_t pending;
    sigset_t mask;
    bool ok;

    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe, &mask);
    sigpending(&pending);
    ok = write_all(fd, bytes, len);
    if (!ok && !sigismember(&pending, SIGPIPE)) {
        sigtimedwait(&sigpipe, NULL, &now);
    }
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    return ok;
}

bool log_write(int fd, enum log_format format, const struct log_line *line)
{
    struct buf b = {0};
    bool ok = format == LOG_NONE || (log_format_line(&b, format, line) &&
                                     write_without_sigpipe(fd, buf_front(&b), buf_len(&b)));

    buf_free(&b);
    return ok;
}

void log_sink_write(struct log_sink *s, const struct log_line *line)
{
    if (s->format == LOG_NONE) {
        return;
    }
    if (!takes_more(s->fd, s->dropped > 0 ? 0 : PATIENCE_MS)) {
        s->dropped++;
        return;
    }
    if (s->dropped > 0) {
        struct log_line note = {.name = "titan", .pid = (int)getpid(), .time_ms = line->time_ms};
        char text[96];

        note.text = text;
        note.is_stderr = true;
        note.len = (size_t)snprintf(text, sizeof text,
                                    "%llu lines were not printed here: nobody read", s->dropped);
        s->dropped = 0;
        (void)log_write(s->fd, s->format, &note);
    }
    /* A terminal or a pipe that takes nothing any more must not end the manager. */
    (void)log_write(s->fd, s->format, line);
}
