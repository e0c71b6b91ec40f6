//! The proxy without a native application: everything goes to Node, and is observed.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    strangler::main(&[])
}
