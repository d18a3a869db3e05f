// Built for two generations, which it tells apart.
// targets: sm_75 sm_90a
KERNEL generation(f32* out) { out[threadIdx.x] = f32(__CUDA_ARCH__); }
