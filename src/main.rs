//! The proxy with the applications of this repository.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    strangler::main(strangler::apps::ALL)
}
