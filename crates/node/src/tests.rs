//! Whole ring threads on the real kernel, with a stand-in for JavaScript on the far side of the shared memory.

mod back_pressure;
mod borrowed;
mod broken;
mod far_side;
mod inline;
mod lifetime;
mod malformed;
mod messages;
mod pipes;
mod spinning;
