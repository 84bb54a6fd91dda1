/* The command `titan`: a client of titan.h and nothing else. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "titan.h"

enum exit_code { EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct command {
    const char *name;
    const char *arguments;
    const char *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

static int run_script(int argc, char **argv);
static int show_version(int argc, char **argv);
static int show_help(int argc, char **argv);

static const struct command commands[] = {
    {"run", "FILE [ARG...]", "run a script; it ends when its workers have", run_script},
    {"version", "", "print the version", show_version},
    {"help", "", "print this", show_help},
};

#define COMMANDS (sizeof commands / sizeof commands[0])

/* Commands that have a name already and no code yet. */
static const char *const later[] = {"check", "init",   "ls",      "top",  "info",
                                    "call",  "logs",   "restart", "stop", "kill",
                                    "scale", "reload", "worker",  "bench"};

#define LATER (sizeof later / sizeof later[0])

static void print_usage(FILE *to)
{
    fprintf(to, "usage: titan COMMAND [ARG...]\n\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        fprintf(to, "  %-8s %-14s %s\n", commands[i].name, commands[i].arguments,
                commands[i].summary);
    }
    fprintf(to, "\nExit codes: 0 ok, 1 failed, 2 usage.\n");
}

static int show_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    print_usage(stdout);
    return 0;
}

static int show_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("titan %s\n", titan_version());
    return 0;
}

static int run_script(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "titan: run what? usage: titan run FILE [ARG...]\n");
        return EXIT_USAGE;
    }
    return titan_run_script(argc - 1, argv + 1);
}

static int unknown(const char *name)
{
    const char *names[COMMANDS];
    const char *nearest;

    for (size_t i = 0; i < LATER; i++) {
        if (strcmp(name, later[i]) == 0) {
            fprintf(stderr, "titan: `titan %s` is not built in this version (titan %s) yet\n", name,
                    titan_version());
            return EXIT_USAGE;
        }
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        names[i] = commands[i].name;
    }
    nearest = titan_suggest(name, names, COMMANDS);
    if (nearest != NULL) {
        fprintf(stderr, "titan: unknown command '%s'; did you mean 'titan %s'?\n", name, nearest);
    } else {
        fprintf(stderr, "titan: unknown command '%s'\n\n", name);
        print_usage(stderr);
    }
    return EXIT_USAGE;
}

/* The names that people try first. */
static const char *without_dashes(const char *name)
{
    if (strcmp(name, "--version") == 0 || strcmp(name, "-v") == 0 || strcmp(name, "-V") == 0) {
        return "version";
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        return "help";
    }
    return name;
}

/* Whoever starts us may have closed these. The next files that are opened would take their place,
 * and get what is printed. */
static void open_standard_files(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? without_dashes(argv[1]) : NULL;

    keep_freed_memory();
    open_standard_files();
    /* Ignored, which exec keeps, it makes the kernel throw the exit statuses of children away. */
    signal(SIGCHLD, SIG_DFL);
    if (name == NULL) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    return unknown(name);
}
