/*
 * bench-ceiling PORT THREADS: libmicrohttpd set up as common/io/httpd.c does
 * it, answering a constant: what an HTTP service of ours could at most do.
 */

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define CONNECTION_MEMORY ((size_t)16 * 1024)

static char body[] = "{\"cap\":\"bench\",\"granted\":1,\"remaining\":1000000,"
                     "\"starts_at\":\"2026-01-01T00:00:00Z\",\"ends_in_ms\":1000000}";

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **call)
{
    static int seen;

    (void)cls, (void)url, (void)method, (void)version, (void)upload;
    if (*call == NULL || *upload_size > 0) {
        *call = &seen;
        *upload_size = 0;
        return MHD_YES;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof(body) - 1, body, MHD_RESPMEM_PERSISTENT);
    (void)MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result result = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return result;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(argv[1])),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    unsigned threads = (unsigned)atoi(argv[2]);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, answer, NULL,
        MHD_OPTION_SOCK_ADDR, (const struct sockaddr *)&address, MHD_OPTION_THREAD_POOL_SIZE,
        threads > 1 ? threads : 0, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, MHD_OPTION_END);

    if (!daemon)
        return 1;
    for (;;)
        pause();
}
