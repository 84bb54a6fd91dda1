/* titan-zygote: what workers are forked from. libtitan starts it. */
#include "memory.h"
#include "titan.h"

int main(int argc, char **argv)
{
    keep_freed_memory();
    return titan_zygote_main(argc, argv);
}
