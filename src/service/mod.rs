//! The gRPC edge: wire types to domain and back, authentication, deadlines, limits. No business rule lives here.
//!
//! What must stay true: wire types are named only in this room (and in the client side of the command line).

pub mod wire;
