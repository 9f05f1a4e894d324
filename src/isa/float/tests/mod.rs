//! The integers against `rustc_apfloat` ([`reference`]), the host against the integers ([`host`]),
//! and what neither can tell ([`corners`]).

mod corners;
mod host;
mod operands;
mod reference;
