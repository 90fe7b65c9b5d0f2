//! What can be told of files that rustc wrote without decoding them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use memchr::memmem;

/// Length of a crate's hash.
const HASH: usize = 16;
/// Ends every string.
const STRING_END: u8 = 0xc1;

/// What metadata starts with.
const METADATA_MAGIC: &[u8; 7] = b"rust\0\0\0";
/// What it ends with.
const METADATA_END: &[u8; 13] = b"rust-end-file";

/// Whether the crate with the metadata `dependent` was compiled against the very build in the file
/// `dependency`, or does not refer to it at all. `extra_filename` is what that was given as
/// `-C extra-filename`, and is nobody else's.
///
/// Of each crate that was loaded, rustc writes (`CrateDep` in `rustc_metadata::rmeta`): the name,
/// the hash of the crate, optionally that of its build for the host, with 0 or 1 before it that says
/// whether it is there, the kind in one byte, and the extra filename. Its hash is in the metadata of
/// the crate itself as well. Should this change one day, what is taken for the hash is not in that
/// file, and the answer is no.
pub fn was_compiled_against(dependent: &[u8], dependency: &[u8], extra_filename: &str) -> bool {
    let Ok(length @ 0..0x80) = u8::try_from(extra_filename.len()) else {
        return false;
    };
    let mut reference = vec![length];
    reference.extend_from_slice(extra_filename.as_bytes());
    reference.push(STRING_END);
    let is_that_build = |at: usize| {
        let has = |back: usize| dependent.get(at.checked_sub(back)?).copied();
        // A hash for the host may end with 0 as well: what is then looked for is nowhere.
        let end = match (has(2)?, has(2 + HASH)) {
            (0, _) => at - 2,
            (_, Some(1)) => at - 2 - HASH,
            _ => return None,
        };
        let hash = dependent.get(end.checked_sub(HASH)?..end)?;
        memmem::find(dependency, hash)
    };
    memmem::find_iter(dependent, &reference).all(|at| is_that_build(at).is_some())
}

/// See <https://man.freebsd.org/cgi/man.cgi?query=ar&sektion=5>: a global header, then for each
/// member a header, with the name in columns 0 to 15 and the size in 48 to 57, and the contents,
/// padded to an even size.
const ARCHIVE_MAGIC: &[u8; 8] = b"!<arch>\n";
const MEMBER_HEADER: usize = 60;

/// Size of the archive member with this header.
fn member_size(header: &[u8]) -> Option<usize> {
    let size = str::from_utf8(header.get(48..58)?).ok()?;
    size.trim_end().parse().ok()
}

/// Whether the file at `path` is as a compiler would have left it, as far as can be told quickly:
/// not empty; metadata (`.rmeta`) with what that starts with; an archive (`.rlib`, `.a`) with all of
/// its members.
///
/// # Errors
///
/// The file can't be read.
pub fn is_whole(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let extension = path.extension().and_then(|extension| extension.to_str());
    let mut start = [0; ARCHIVE_MAGIC.len()];
    let start = &mut start[..length.min(ARCHIVE_MAGIC.len() as u64) as usize];
    file.read_exact(start)?;
    match extension {
        Some("rlib" | "a") if start == ARCHIVE_MAGIC => {}
        Some("rlib" | "a") => return Ok(false),
        Some("rmeta") => {
            let mut end = [0; METADATA_END.len()];
            let is_whole = start.starts_with(METADATA_MAGIC)
                && file.seek(SeekFrom::End(-(end.len() as i64))).is_ok()
                && file.read_exact(&mut end).is_ok()
                && end == *METADATA_END;
            return Ok(is_whole);
        }
        _ => return Ok(length > 0),
    }
    let mut at = ARCHIVE_MAGIC.len() as u64;
    let mut end = at;
    let mut header = [0; MEMBER_HEADER];
    while at + MEMBER_HEADER as u64 <= length {
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut header)?;
        let Some(size) = member_size(&header) else {
            return Ok(false);
        };
        end = at + (MEMBER_HEADER + size) as u64;
        at = end + end % 2;
    }
    // The last member's padding may be missing.
    Ok(length == end || length == at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependent(name: &[u8], hash: &[u8], host_hash: Option<&[u8]>) -> Vec<u8> {
        let mut metadata = [b"rust\0\0\0..", name].concat();
        metadata.extend_from_slice(hash);
        metadata.push(u8::from(host_hash.is_some()));
        metadata.extend_from_slice(host_hash.unwrap_or_default());
        metadata.extend_from_slice(b"\x02\x05-0123\xc1..");
        metadata
    }

    #[test]
    fn finds_the_build() {
        let (this, other) = ([7; HASH], [8; HASH]);
        // Names that are longer than a hash are in the dependency as well.
        for name in [&b"\x04leaf\xc1"[..], b"\x17name_of_more_than_a_hash\xc1"] {
            let dependency = [b"rust", name, &this, b"..."].concat();
            for host_hash in [None, Some(&other[..])] {
                let metadata = dependent(name, &this, host_hash);
                assert!(was_compiled_against(&metadata, &dependency, "-0123"));
                let metadata = dependent(name, &other, host_hash);
                assert!(!was_compiled_against(&metadata, &dependency, "-0123"));
            }
        }
    }

    #[test]
    fn files_are_whole_or_not() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("x.rlib");
        let header = |size: usize| format!("{:48}{size:<10}`\n", "name");
        let archive = format!("!<arch>\n{}abc\n{}de", header(3), header(2));
        for (length, expected) in [
            (archive.len(), true),
            (archive.len() - 1, false),
            (archive.len() - 10, false),
            (8, true),
            (4, false),
            (0, false),
        ] {
            std::fs::write(&path, &archive[..length]).expect("write");
            assert_eq!(is_whole(&path).expect("read"), expected, "{length}");
        }
        for (name, contents, expected) in [
            ("x.so", "", false),
            ("x.so", "x", true),
            ("x.rmeta", "", false),
            ("x.rmeta", "rust\0\0\0\x09...", false),
            ("x.rmeta", "rust\0\0\0\x09...rust-end-file", true),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, contents).expect("write");
            assert_eq!(is_whole(&path).expect("read"), expected, "{name}");
        }
    }

    #[test]
    fn takes_no_reference_for_none_needed() {
        assert!(was_compiled_against(b"rust\0\0\0...", b"...", "-0123"));
    }

    #[test]
    fn denies_what_it_cannot_read() {
        let reference = b"rust\0\0\0\x05-0123\xc1";
        assert!(!was_compiled_against(reference, b"...", "-0123"));
        assert!(!was_compiled_against(b"", b"", &"-".repeat(200)));
    }
}
