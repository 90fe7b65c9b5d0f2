//! A terminal to run cargo in.

use std::fs::File;
use std::io::Read as _;
use std::process::Command;

use nix::pty::{Winsize, openpty};
use vt100::Parser;

/// What was printed on a terminal.
pub(crate) struct Terminal {
    /// All of it, with escape sequences.
    pub(crate) raw: String,
    /// What is there to be read in the end. Lines that went on in the next row are whole.
    pub(crate) screen: String,
    pub(crate) success: bool,
}

/// High enough for nothing to leave it.
const ROWS: u16 = 500;

impl Terminal {
    /// Runs a command to its end, in a terminal of its own with rows of `columns` characters.
    pub(crate) fn of(mut command: Command, columns: u16) -> Terminal {
        let size = Winsize {
            ws_row: ROWS,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).unwrap();
        let end = || pty.slave.try_clone().unwrap();
        command.stdin(end()).stdout(end()).stderr(end());
        let mut child = command.spawn().unwrap();
        // Nobody else may have that end, or there is none of what is printed.
        drop(command);
        drop(pty.slave);
        let mut raw = Vec::new();
        // On Linux, that the other end was closed is an error.
        let _ = File::from(pty.master).read_to_end(&mut raw);
        let mut parser = Parser::new(ROWS.try_into().unwrap(), columns.try_into().unwrap(), 0);
        parser.process(&raw);
        Terminal {
            raw: String::from_utf8(raw).unwrap(),
            screen: parser.screen().contents(),
            success: child.wait().unwrap().success(),
        }
    }
}
