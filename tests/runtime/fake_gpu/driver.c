/* A CUDA driver without a GPU, for tests: host memory plays device memory, each stream is a thread with a queue.

   As strict as the real one where a mistake of ours would show: a thread without a context, copies from memory that
   is not pinned or not long enough, waiting inside a recording, a graph thrown away while it runs. What real drivers
   do not say: when it is released, what was left open. $FAKE_CUDA_LOG gets a line for each thing done:
   "stream what begin_us end_us". $FAKE_CUDA_FAIL "cuMemAlloc:3:2" makes the third call of cuMemAlloc return 2.
   $FAKE_CUDA_COPY_US is how long a copy takes. $FAKE_CUDA_DEVICES is the number of GPUs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALISED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201 };
enum { INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600, CAPTURE_UNSUPPORTED = 900 };
typedef struct Event { int issued, done; int64_t at_us; } Event;
typedef struct Op {
    struct Op *next;
    char what[16];
    void *to;
    const void *from;
    size_t size;
    void (*function)(void *);
    void *data;
    Event *event;
    int turn;
    struct Graph *graph;
} Op;
typedef struct Graph { Op *first, *last; int running; } Graph;
typedef struct Stream { struct Stream *next; int number, capturing, closing, busy, broken; Op *first, *last; Graph *record; pthread_t thread; } Stream;
typedef struct Memory { struct Memory *next; char *start; size_t size; int pinned; } Memory;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static Memory *memories;
static Stream *open_streams;
static int started, retained, streams, live_memories, live_streams, live_events, live_graphs, failing;
static __thread void *contexts[16];
static __thread int depth;

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void note(int stream, const char *what, int64_t begin, int64_t end) {
    const char *path = getenv("FAKE_CUDA_LOG");
    FILE *file = path ? fopen(path, "a") : 0;
    if (!file) return;
    fprintf(file, "%d %s %lld %lld\n", stream, what, (long long)begin, (long long)end);
    fclose(file);
}

static int fails(const char *name) {
    const char *order = getenv("FAKE_CUDA_FAIL");
    size_t length = strlen(name);
    if (!order || strncmp(order, name, length) || order[length] != ':') return OK;
    return ++failing == atoi(order + length + 1) ? atoi(strrchr(order, ':') + 1) : OK;
}

#define STARTED if (!started) return NOT_INITIALISED; { int failure = fails(__func__); if (failure) return failure; }
#define CURRENT STARTED if (!depth) return INVALID_CONTEXT;

static int inside(const void *address, size_t size, int pinned) {
    const char *start = address;
    for (Memory *m = memories; m; m = m->next)
        if (m->pinned == pinned && start >= m->start && start + size <= m->start + m->size) return 1;
    return 0;
}

static void perform(Stream *stream, Op *op) { /* without the lock */
    int64_t begin = now_us();
    if (op->event && !strcmp(op->what, "wait")) {
        pthread_mutex_lock(&lock);
        while (op->event->done < op->turn) pthread_cond_wait(&changed, &lock);
        pthread_mutex_unlock(&lock);
        return;
    }
    if (op->event) {
        pthread_mutex_lock(&lock);
        op->event->done = op->turn;
        op->event->at_us = now_us();
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
        return;
    }
    if (op->graph) {
        for (Op *inner = op->graph->first; inner; inner = inner->next) perform(stream, inner);
        pthread_mutex_lock(&lock);
        op->graph->running--;
        pthread_mutex_unlock(&lock);
    } else if (op->function) {
        op->function(op->data);
    } else {
        if (getenv("FAKE_CUDA_COPY_US")) usleep(atoi(getenv("FAKE_CUDA_COPY_US")));
        memcpy(op->to, op->from, op->size);
    }
    note(stream->number, op->what, begin, now_us());
}

static void *work(void *argument) {
    Stream *stream = argument;
    pthread_mutex_lock(&lock);
    for (;;) {
        while (!stream->first && !stream->closing) pthread_cond_wait(&changed, &lock);
        Op *op = stream->first;
        if (!op) break;
        stream->busy = 1;
        stream->first = op->next;
        if (!stream->first) stream->last = 0;
        pthread_mutex_unlock(&lock);
        perform(stream, op);
        free(op);
        pthread_mutex_lock(&lock);
        stream->busy = 0;
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&lock);
    return 0;
}

static int give(Stream *stream, Op op) { /* with the lock */
    Op *copy = malloc(sizeof op);
    *copy = op;
    copy->next = 0;
    Op **first = stream->capturing ? &stream->record->first : &stream->first;
    Op **last = stream->capturing ? &stream->record->last : &stream->last;
    if (*last) (*last)->next = copy; else *first = copy;
    *last = copy;
    pthread_cond_broadcast(&changed);
    return OK;
}

static int locked_give(Stream *stream, Op op) {
    pthread_mutex_lock(&lock);
    int status = give(stream, op);
    pthread_mutex_unlock(&lock);
    return status;
}

int cuInit(unsigned flags) { (void)flags; started = 1; return fails("cuInit"); }
int cuDriverGetVersion(int *version) { *version = 13000; return OK; }
int cuGetErrorName(int code, const char **name) {
    *name = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : code == 100 ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_MADE_UP";
    return OK;
}
int cuGetErrorString(int code, const char **text) { *text = code == 2 ? "out of memory" : "made up"; return OK; }
int cuDeviceGet(int *device, int index) {
    STARTED
    int devices = getenv("FAKE_CUDA_DEVICES") ? atoi(getenv("FAKE_CUDA_DEVICES")) : 1;
    *device = index;
    return index < devices ? OK : INVALID_DEVICE;
}
int cuDeviceGetName(char *name, int length, int device) { (void)device; STARTED strncpy(name, "NVIDIA Made-up GPU", length); return OK; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    STARTED
    int sm = getenv("FAKE_CUDA_SM") ? atoi(getenv("FAKE_CUDA_SM")) : 86; /* compute capability 8.6 */
    *value = attribute == 75 ? sm / 10 : attribute == 76 ? sm % 10 : 0;
    return OK;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; STARTED retained++; *context = &retained; return OK; }
int cuDevicePrimaryCtxRelease(int device) {
    (void)device;
    STARTED
    char line[128];
    snprintf(line, sizeof line, "released:memories=%d,streams=%d,events=%d,graphs=%d", live_memories, live_streams, live_events, live_graphs);
    if (!--retained) note(0, line, now_us(), now_us());
    return OK;
}
int cuCtxPushCurrent(void *context) { STARTED if (context != &retained) return INVALID_CONTEXT; contexts[depth++] = context; return OK; }
int cuCtxPopCurrent(void **context) { CURRENT *context = contexts[--depth]; return OK; }
int cuCtxGetCurrent(void **context) { STARTED *context = depth ? contexts[depth - 1] : 0; return OK; }

static int allocate(void **start, size_t size, int pinned) {
    Memory *memory = malloc(sizeof *memory);
    *memory = (Memory){0, malloc(size), size, pinned};
    if (!memory->start) {
        free(memory);
        return OUT_OF_MEMORY;
    }
    memset(memory->start, 0xAB, size); /* fresh memory holds no zeros */
    pthread_mutex_lock(&lock);
    memory->next = memories;
    memories = memory;
    live_memories++;
    pthread_mutex_unlock(&lock);
    *start = memory->start;
    return OK;
}
static int release(void *start, int pinned) { /* as the real one, not before all work is done */
    pthread_mutex_lock(&lock);
    for (Stream *stream = open_streams; stream;)
        if (stream->first || stream->busy) {
            pthread_cond_wait(&changed, &lock);
            stream = open_streams;
        } else {
            stream = stream->next;
        }
    for (Memory **link = &memories; *link; link = &(*link)->next)
        if ((*link)->start == start && (*link)->pinned == pinned) {
            Memory *memory = *link;
            *link = memory->next;
            memset(memory->start, 0xCD, memory->size); /* what is used after it shows */
            free(memory->start);
            free(memory);
            live_memories--;
            pthread_mutex_unlock(&lock);
            return OK;
        }
    pthread_mutex_unlock(&lock);
    return INVALID_VALUE;
}
int cuMemAlloc(void **start, size_t size) { CURRENT return allocate(start, size, 0); }
int cuMemFree(void *start) { CURRENT return release(start, 0); }
int cuMemHostAlloc(void **start, size_t size, unsigned flags) { (void)flags; CURRENT return allocate(start, size, 1); }
int cuMemFreeHost(void *start) { CURRENT return release(start, 1); }

static int copy(Stream *stream, const char *what, void *to, const void *from, size_t size, int up) {
    pthread_mutex_lock(&lock);
    int known = inside(to, size, !up) && inside(from, size, up);
    Op op = {.to = to, .from = from, .size = size};
    strcpy(op.what, what);
    int status = known ? give(stream, op) : INVALID_VALUE;
    pthread_mutex_unlock(&lock);
    return status;
}
int cuMemcpyHtoDAsync(void *to, const void *from, size_t size, Stream *stream) { CURRENT return copy(stream, "upload", to, from, size, 1); }
int cuMemcpyDtoHAsync(void *to, const void *from, size_t size, Stream *stream) { CURRENT return copy(stream, "download", to, from, size, 0); }

int cuStreamCreate(Stream **made, unsigned flags) {
    (void)flags;
    CURRENT
    Stream *stream = calloc(1, sizeof *stream);
    pthread_mutex_lock(&lock);
    stream->number = ++streams;
    stream->next = open_streams;
    open_streams = stream;
    live_streams++;
    pthread_mutex_unlock(&lock);
    pthread_create(&stream->thread, 0, work, stream);
    *made = stream;
    return OK;
}
int cuStreamDestroy(Stream *stream) {
    CURRENT
    pthread_mutex_lock(&lock);
    stream->closing = 1;
    live_streams--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    pthread_join(stream->thread, 0);
    pthread_mutex_lock(&lock);
    for (Stream **link = &open_streams; *link; link = &(*link)->next)
        if (*link == stream) {
            *link = stream->next;
            break;
        }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    free(stream);
    return OK;
}
int cuStreamSynchronize(Stream *stream) {
    CURRENT
    pthread_mutex_lock(&lock);
    if (stream->capturing) {
        stream->broken = 1;
        pthread_mutex_unlock(&lock);
        return CAPTURE_UNSUPPORTED;
    }
    while (stream->first || stream->busy) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    return OK;
}
int cuStreamWaitEvent(Stream *stream, Event *event, unsigned flags) {
    (void)flags;
    CURRENT
    if (stream->capturing) return CAPTURE_UNSUPPORTED;
    return locked_give(stream, (Op){.what = "wait", .event = event, .turn = event->issued});
}
int cuStreamBeginCapture(Stream *stream, int mode) {
    CURRENT
    if (mode != 1 || stream->capturing) return INVALID_VALUE; /* 1: of this thread only */
    stream->record = calloc(1, sizeof *stream->record);
    stream->capturing = 1;
    stream->broken = 0;
    return OK;
}
int cuStreamEndCapture(Stream *stream, Graph **graph) {
    CURRENT
    if (!stream->capturing) return INVALID_VALUE;
    stream->capturing = 0;
    *graph = stream->broken ? 0 : stream->record;
    if (stream->broken) return 901;
    live_graphs++;
    return OK;
}
int cuStreamIsCapturing(Stream *stream, int *capturing) { CURRENT *capturing = stream->capturing; return OK; }
int cuLaunchHostFunc(Stream *stream, void (*function)(void *), void *data) {
    CURRENT
    return locked_give(stream, (Op){.what = "compute", .function = function, .data = data});
}

int cuEventCreate(Event **event, unsigned flags) { (void)flags; CURRENT *event = calloc(1, sizeof **event); live_events++; return OK; }
int cuEventDestroy(Event *event) { CURRENT free(event); live_events--; return OK; }
int cuEventRecord(Event *event, Stream *stream) {
    CURRENT
    if (stream->capturing) return CAPTURE_UNSUPPORTED;
    pthread_mutex_lock(&lock);
    int turn = ++event->issued;
    int status = give(stream, (Op){.what = "record", .event = event, .turn = turn});
    pthread_mutex_unlock(&lock);
    return status;
}
int cuEventSynchronize(Event *event) {
    CURRENT
    pthread_mutex_lock(&lock);
    int turn = event->issued;
    while (event->done < turn) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    return OK;
}
int cuEventElapsedTime(float *ms, Event *begin, Event *end) {
    CURRENT
    if (!begin->done || !end->done) return NOT_READY;
    *ms = (end->at_us - begin->at_us) / 1000.0f;
    return OK;
}

int cuGraphInstantiateWithFlags(Graph **made, Graph *graph, unsigned long long flags) {
    (void)flags;
    CURRENT
    *made = calloc(1, sizeof **made);
    for (Op *op = graph->first; op; op = op->next) {
        Op *copy = malloc(sizeof *copy);
        *copy = *op;
        copy->next = 0;
        if ((*made)->last) (*made)->last->next = copy; else (*made)->first = copy;
        (*made)->last = copy;
    }
    live_graphs++;
    return OK;
}
static int destroy(Graph *graph) {
    if (graph->running) return INVALID_HANDLE;
    for (Op *op = graph->first, *next; op; op = next) { next = op->next; free(op); }
    free(graph);
    live_graphs--;
    return OK;
}
int cuGraphDestroy(Graph *graph) { CURRENT return destroy(graph); }
int cuGraphExecDestroy(Graph *graph) { CURRENT return destroy(graph); }
int cuGraphLaunch(Graph *graph, Stream *stream) {
    CURRENT
    pthread_mutex_lock(&lock);
    graph->running++;
    pthread_mutex_unlock(&lock);
    return locked_give(stream, (Op){.what = "graph", .graph = graph});
}

int cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long long flags, int *found) {
    (void)version, (void)flags;
    const char *exported = strcmp(name, "cuGraphInstantiate") ? name : "cuGraphInstantiateWithFlags";
    void *self = dlopen("libcuda.so.1", RTLD_NOLOAD | RTLD_NOW);
    *function = self ? dlsym(self, exported) : 0;
    if (found) *found = *function ? 0 : 1;
    return *function ? OK : NOT_FOUND;
}
