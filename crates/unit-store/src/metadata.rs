//! What can be told of files that rustc wrote without decoding them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use memchr::memmem;
use object::read::archive::ArchiveFile;
use object::{Object as _, ObjectSection as _};

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
/// the hash of the crate, optionally that of its build for the host, the kind in one byte, and the
/// extra filename. Its hash is in the metadata of the crate itself as well. Should this change one
/// day, what is taken for the hash is not in that file, and the answer is no.
pub fn was_compiled_against(dependent: &[u8], dependency: &[u8], extra_filename: &str) -> bool {
    let Ok(length @ 0..0x80) = u8::try_from(extra_filename.len()) else {
        return false;
    };
    let mut reference = vec![length];
    reference.extend_from_slice(extra_filename.as_bytes());
    reference.push(STRING_END);
    // Before the kind: nothing but the tag of the second hash, or that hash as well.
    let is_hash_at = |end: Option<usize>| {
        end.and_then(|end| dependent.get(end.checked_sub(HASH)?..end))
            .is_some_and(|hash| memmem::find(dependency, hash).is_some())
    };
    memmem::find_iter(dependent, &reference)
        .all(|at| [2, 2 + HASH].map(|back| is_hash_at(at.checked_sub(back))) != [false, false])
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

/// What is in a compiled file, an archive or object of whatever format, but for debug information and
/// names of symbols. Of a file that is neither, or can't be understood, all of it.
pub fn without_debug_info(contents: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let Ok(archive) = ArchiveFile::parse(contents) else {
        add_sections(contents, &mut parts);
        return parts;
    };
    for member in archive.members() {
        match member.and_then(|member| member.data(contents)) {
            Ok(data) => add_sections(data, &mut parts),
            Err(_) => return vec![contents],
        }
    }
    parts
}

fn add_sections<'a>(contents: &'a [u8], parts: &mut Vec<&'a [u8]>) {
    let sections = object::File::parse(contents).and_then(|object| {
        let is_debug = |section: &object::Section<'a, '_>| {
            let name = section.name_bytes().unwrap_or_default();
            let starts = [&b".debug"[..], b".zdebug", b"__debug", b"__zdebug"];
            starts.iter().any(|start| name.starts_with(start)) || name == b".strtab"
        };
        let sections = object.sections().filter(|section| !is_debug(section));
        sections.map(|section| section.data()).collect()
    });
    match sections {
        Ok(sections) => parts.extend::<Vec<_>>(sections),
        Err(_) => parts.push(contents),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependent(hash: &[u8], host_hash: Option<&[u8]>) -> Vec<u8> {
        let mut metadata = b"rust\0\0\0..\x04leaf\xc1".to_vec();
        metadata.extend_from_slice(hash);
        metadata.push(u8::from(host_hash.is_some()));
        metadata.extend_from_slice(host_hash.unwrap_or_default());
        metadata.extend_from_slice(b"\x02\x05-0123\xc1..");
        metadata
    }

    #[test]
    fn finds_the_build() {
        let (this, other) = ([7; HASH], [8; HASH]);
        let dependency = [&b"rust"[..], &this, b"..."].concat();
        for host_hash in [None, Some(&other[..])] {
            let metadata = dependent(&this, host_hash);
            assert!(was_compiled_against(&metadata, &dependency, "-0123"));
            let metadata = dependent(&other, host_hash);
            assert!(!was_compiled_against(&metadata, &dependency, "-0123"));
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
    fn what_is_no_object_is_taken_whole() {
        let archive = b"!<arch>\nname";
        for contents in [&archive[..], b"rust\0\0\0\x09...", b"\x7fELF"] {
            assert_eq!(without_debug_info(contents), [contents]);
        }
    }

    #[test]
    fn debug_info_is_left_out() {
        let object = object_with_debug_info(".debug_str", b"/out");
        let has = |contents: &[u8], text: &[u8]| memmem::find(contents, text).is_some();
        assert!(has(&object, b"/out") && has(&object, b"code"));
        let parts = without_debug_info(&object);
        assert!(parts.iter().any(|part| has(part, b"code")));
        assert!(!parts.iter().any(|part| has(part, b"/out")));
        let object = object_with_debug_info(".rodata", b"/out");
        let parts = without_debug_info(&object);
        assert!(parts.iter().any(|part| has(part, b"/out")));
    }

    /// A little ELF file with a section `.text`, and `name` with `contents`.
    fn object_with_debug_info(name: &str, contents: &[u8]) -> Vec<u8> {
        let names = format!("\0.text\0{name}\0.shstrtab\0");
        let offset = |name: &str| names.find(&format!("{name}\0")).expect("is in it") as u32;
        let sections: [(u32, u32, &[u8]); 3] = [
            (offset(".text"), 1, b"code"),
            (offset(name), 1, contents),
            (offset(".shstrtab"), 3, names.as_bytes()),
        ];
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend([1, 0, 62, 0, 1, 0, 0, 0]);
        let size: usize = sections.iter().map(|(_, _, data)| data.len()).sum();
        file.extend([0; 16]);
        file.extend((64 + size as u64).to_le_bytes());
        file.extend([0; 4]);
        for half in [64u16, 0, 0, 64, 4, 3] {
            file.extend(half.to_le_bytes());
        }
        let mut headers = vec![0; 64];
        for (name, kind, data) in sections {
            headers.extend(name.to_le_bytes());
            headers.extend(kind.to_le_bytes());
            headers.extend([0; 16]);
            headers.extend((file.len() as u64).to_le_bytes());
            headers.extend((data.len() as u64).to_le_bytes());
            headers.extend([0; 24]);
            file.extend_from_slice(data);
        }
        file.extend(headers);
        file
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
