// driver.c: as much of NVIDIA's driver library as is asked before CUDA starts, for tests.
int cuInit(unsigned flags) {
    (void) flags;
    return INIT;
}

int cuDriverGetVersion(int * version) {
    *version = VERSION;
    return 0;
}

int cuDeviceGetCount(int * count) {
    *count = COUNT;
    return 0;
}

int cuGetErrorString(int error, const char ** text) {
    (void) error;
    *text = "emulated failure";
    return 0;
}
