/* A file system with faults, for programs that are started with this as LD_PRELOAD: below $TESTSUITE_FAULTS_IN
 *
 * - with TESTSUITE_FAULT=nfs, statfs says that it is NFS, and whoever asks for a lock gets an error;
 * - with TESTSUITE_FAULT=unlocked, there are no locks;
 * - with TESTSUITE_FAULT=full, as long as the file $TESTSUITE_FAULTS_IN.full exists, nothing can be made or written
 *   with a line of that file, or anything if it is empty, as part of its path: the disk quota is exceeded.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

static int fault(const char *wanted, const char *path) {
    const char *fault = getenv("TESTSUITE_FAULT"), *dir = getenv("TESTSUITE_FAULTS_IN");
    return fault && dir && !strcmp(fault, wanted) && !strncmp(path, dir, strlen(dir));
}

static const char *path_of(int fd) {
    static __thread char path[PATH_MAX];
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    return path;
}

static int is_full(const char *path) {
    char file[PATH_MAX], parts[256];
    if (!fault("full", path))
        return 0;
    snprintf(file, sizeof file, "%s.full", getenv("TESTSUITE_FAULTS_IN"));
    int before = errno, fd = REAL(open64)(file, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, parts, sizeof parts - 1);
    if (fd >= 0)
        close(fd);
    int is = !length;
    parts[length < 0 ? 0 : length] = 0;
    for (char *rest, *part = strtok_r(parts, "\n", &rest); part; part = strtok_r(NULL, "\n", &rest))
        is |= !!strstr(path, part);
    errno = is ? EDQUOT : before;
    return is;
}

int statfs(const char *path, struct statfs *buf) {
    int result = REAL(statfs)(path, buf);
    if (!result && fault("nfs", path))
        buf->f_type = 0x6969;
    return result;
}

int flock(int fd, int operation) {
    if (fault("nfs", path_of(fd))) {
        errno = EIO;
        return -1;
    }
    if (fault("unlocked", path_of(fd))) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return REAL(flock)(fd, operation);
}

ssize_t write(int fd, const void *data, size_t size) {
    if (is_full(path_of(fd)))
        return -1;
    return REAL(write)(fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (is_full(path_of(fd)))
        return -1;
    return REAL(writev)(fd, parts, count);
}

int mkdir(const char *path, mode_t mode) {
    if (is_full(path))
        return -1;
    return REAL(mkdir)(path, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    if (flags & O_CREAT && is_full(path))
        return -1;
    return REAL(open64)(path, flags, mode);
}
