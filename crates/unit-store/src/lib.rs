//! An on-disk store for finished compile units.
//!
//! The store is a directory, the *root*, that many builds read and that one user's builds may
//! fill at the same time. It knows nothing of the tool that compiles: a unit is a [`Key`], a
//! directory of output files and a [`Record`] that commits it.
//!
//! # Layout
//!
//! ```text
//! <root>/
//!     CACHEDIR.TAG                tells backup tools to skip the directory
//!     root.json                   format version; what makes a directory a root
//!     units/<name>/<key>/<n>/     one finished unit and nothing else
//!         out/                    what the unit produced
//!         run/                    output streams of a unit that was executed
//!         messages                diagnostics to replay
//!         key.json                what the key was made of, for explanations only
//!         unit.json               the record; written last, by rename
//!     locks/<key>                 only where units are built; never needed to read
//!     answers/<program>           what a compiler said of itself; never needed
//! ```
//!
//! `<n>` tells apart the variants of one key: builds that were given the same inputs beforehand,
//! but observed other environment variables or files, or were made against other builds of their
//! dependencies. A directory without `unit.json` is not finished and is invisible to readers.
//!
//! # What goes where
//!
//! | part | question it answers |
//! |---|---|
//! | [`Key`] | could this unit be the one? Everything that is known before it is built |
//! | [`Observed`] | does the rest of the world look as it did? What is known only afterwards |
//! | [`Digest`] as identity | is this the very build that a dependent was made against? |
//! | [`select()`] | which of the candidates fit together, so that most units are reused? |
//!
//! No unit is judged by modification times, and none is written without a [`KeyLock`].

mod answers;
mod baked;
mod digest;
mod dir;
mod explain;
mod key;
mod lock;
mod lookup;
mod mark;
mod metadata;
mod observe;
mod parts;
mod record;
mod root;
mod select;
pub mod trust;

pub use answers::contains;
pub use baked::{BakedDir, Traces, longest_mention, mentions_path, without_path};
pub use digest::{Digest, ParseDigestError};
pub use dir::is_executable;
pub use explain::{Difference, Keys};
pub use key::{Key, KeyBuilder};
pub use lock::KeyLock;
pub use lookup::{Crew, Found, Lookup};
pub use metadata::{is_whole, was_compiled_against};
pub use observe::{FileDigests, World};
pub use parts::{Piece, any_piece};
pub use record::{Dependency, Observed, Output, Record, RecordError, scan_outputs};
pub use root::{Begun, Candidate, FORMAT, First, Root, RootError, WriteError};
pub use select::{Node, Offer, is_final, select};
