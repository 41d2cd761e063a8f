#include "natd/natd.h"

int main(int argc, char **argv)
{
    return natd_main(argc, argv);
}
