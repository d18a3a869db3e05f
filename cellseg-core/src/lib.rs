//! Tensors, devices, and the tape that gradients are read from, for cellseg.
