//! A compiler that is the one named by `REAL`, and adds a byte to the file `LOG` for each crate that it compiles.
//!
//! Compiled by the benchmark, with these names in its environment. A script would do, but what Cargo may know of a compiler
//! without asking it depends on what kind of file it is.

use std::borrow::Cow;
use std::env;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::{Command, exit};

/// The library that the compiler is a few calls into. A compiler has that in it, and its directory beside it.
#[used]
static DRIVER: &str = env!("DRIVER");

fn main() {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    let texts: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    if compiles(&texts) {
        let mut options = OpenOptions::new();
        let log = options.create(true).append(true).open(env!("LOG"));
        // That the benchmark finds nothing there is for it to complain about.
        let _ = log.and_then(|mut log| log.write_all(b"x"));
    }
    become_real(Command::new(env!("REAL")).args(args))
}

/// Whether a crate is compiled. Cargo and other tools also ask what a crate reads and what its files are called.
fn compiles(args: &[Cow<'_, str>]) -> bool {
    let has = |wanted: &[&str]| args.windows(wanted.len()).any(|there| there == wanted);
    let is_question = has(&["--print"])
        || has(&["--emit", "dep-info", "-o"])
        || args.iter().any(|arg| arg.starts_with("--print="));
    let apart = (args.windows(2)).find(|pair| pair[0] == "--crate-name");
    let joined = (args.iter()).find_map(|arg| arg.strip_prefix("--crate-name="));
    let name = apart.map(|pair| &*pair[1]).or(joined);
    name.is_some_and(|name| !name.starts_with("___")) && !is_question
}

#[cfg(unix)]
fn become_real(command: &mut Command) -> ! {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    eprintln!("could not execute process `{}`: {error}", env!("REAL"));
    exit(101)
}

#[cfg(not(unix))]
fn become_real(command: &mut Command) -> ! {
    match command.status() {
        Ok(status) => exit(status.code().unwrap_or(101)),
        Err(error) => {
            eprintln!("could not execute process `{}`: {error}", env!("REAL"));
            exit(101)
        }
    }
}
