/* titan-zygote: what workers are forked from. libtitan starts it. */
#include "titan.h"

int main(int argc, char **argv)
{
    return titan_zygote_main(argc, argv);
}
