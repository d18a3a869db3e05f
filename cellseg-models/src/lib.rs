//! The networks of cellseg, their training and their sliding-window inference.
