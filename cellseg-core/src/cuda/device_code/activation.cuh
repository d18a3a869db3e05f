// The activation functions and their gradients, on single numbers.
//
// KIND numbers the function as `Activation::kind` in cellseg-kernels/src/pointwise/activation.rs does. `setting` is the
// slope of the leaky rectifier or the alpha of the exponential unit; the others ignore it. Comparisons are written so
// that what is not a number comes out of them as it does in PyTorch and on the CPU.

enum : int { IDENTITY = 0, RELU = 1, LEAKY_RELU = 2, ELU = 3, GELU = 4, SIGMOID = 5 };

// P(X <= x) for a normally distributed X.
DEVICE inline f32 normal_probability(f32 x) { return 0.5f + 0.5f * erff(x * 0.70710678f); }

DEVICE inline f32 logistic(f32 x) {
    // By the exponential of a negative number, which cannot overflow.
    f32 e = expf(-fabsf(x));
    return (x < 0.f ? e : 1.f) / (1.f + e);
}

template <int KIND> DEVICE inline f32 activate(f32 x, f32 setting) {
    if constexpr (KIND == RELU) return x <= 0.f ? 0.f : x;
    if constexpr (KIND == LEAKY_RELU) return x > 0.f ? x : x * setting;
    if constexpr (KIND == ELU) return x > 0.f ? x : setting * expm1f(x);
    if constexpr (KIND == GELU) return x * normal_probability(x);
    if constexpr (KIND == SIGMOID) return logistic(x);
    return x;
}

// Whether `activation_gradient` is computed from the function's value; else it is from its input.
template <int KIND> DEVICE constexpr bool gradient_is_from_output() { return KIND != GELU; }

// The gradient of the input from the gradient `g` of the output, `at` being what `gradient_is_from_output` says.
template <int KIND> DEVICE inline f32 activation_gradient(f32 g, f32 at, f32 setting) {
    if constexpr (KIND == RELU) return at <= 0.f ? 0.f : g;
    if constexpr (KIND == LEAKY_RELU) return at > 0.f ? g : g * setting;
    if constexpr (KIND == ELU) return at > 0.f ? g : g * (at + setting);
    if constexpr (KIND == GELU) return g * (normal_probability(at) + at * (0.39894228f * expf(-0.5f * at * at)));
    if constexpr (KIND == SIGMOID) return g * at * (1.f - at);
    return g;
}

// The same from the function's input `x`, whichever of the two `activation_gradient` takes.
template <int KIND> DEVICE inline f32 activation_gradient_from_input(f32 g, f32 x, f32 setting) {
    return activation_gradient<KIND>(g, gradient_is_from_output<KIND>() ? activate<KIND>(x, setting) : x, setting);
}

template <int KIND, int COUNT> DEVICE inline void activate_all(f32 (&x)[COUNT], f32 setting) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) x[i] = activate<KIND>(x[i], setting);
}

// The function chosen at run time, once for several numbers: for the end of a long sum, where compiling each choice would
// cost more than a branch.
template <int COUNT> DEVICE inline void activate(int kind, f32 (&x)[COUNT], f32 setting) {
    switch (kind) {
        case RELU: return activate_all<RELU>(x, setting);
        case LEAKY_RELU: return activate_all<LEAKY_RELU>(x, setting);
        case ELU: return activate_all<ELU>(x, setting);
        case GELU: return activate_all<GELU>(x, setting);
        case SIGMOID: return activate_all<SIGMOID>(x, setting);
        default: return;
    }
}
