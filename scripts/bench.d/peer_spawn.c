/* PROGRAM N THREADS: starts the program N times from so many threads, each of which waits for one
 * before it starts the next; prints how many that were a second. */
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;
static const char *program;
static long left;

static void *run(void *unused)
{
    /* With an argument, as the others have: given one, GNU's true reads the locale. */
    char *arguments[] = {"true", "1", NULL};
    (void)unused;
    while (__atomic_fetch_sub(&left, 1, __ATOMIC_RELAXED) > 0) {
        pid_t pid;
        int status;
        if (posix_spawn(&pid, program, NULL, NULL, arguments, environ) || waitpid(pid, &status, 0) != pid || status)
            exit(1);
    }
    return NULL;
}

int main(int n_arguments, char **arguments)
{
    struct timespec start, end;
    if (n_arguments != 4)
        return 2;
    program = arguments[1];
    long tasks = left = atol(arguments[2]);
    int n_threads = atoi(arguments[3]);
    pthread_t threads[n_threads];
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < n_threads; i++)
        if (pthread_create(&threads[i], NULL, run, NULL))
            return 1;
    for (int i = 0; i < n_threads; i++)
        pthread_join(threads[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%f\n", tasks / (end.tv_sec - start.tv_sec + (end.tv_nsec - start.tv_nsec) * 1e-9));
    return 0;
}
