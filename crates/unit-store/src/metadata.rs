//! What can be told of files that rustc wrote without decoding them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use memchr::memmem;
use object::read::ReadCache;
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

/// Whether `is_meant` holds for any part of the compiled file at `path`, an archive or object of
/// whatever format. Debug information and names of symbols are no parts. A file that is neither, or
/// can't be understood, is a single part.
///
/// Of an archive, one member is in memory at a time: a cold build looks through all that it makes.
///
/// # Errors
///
/// The file can't be read.
pub fn any_part(path: &Path, mut is_meant: impl FnMut(&[u8]) -> bool) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let members = members(&file).unwrap_or_else(|| vec![(0, u64::MAX)]);
    for (offset, size) in members {
        let mut contents = Vec::new();
        file.seek(SeekFrom::Start(offset))?;
        file.by_ref().take(size).read_to_end(&mut contents)?;
        if sections(&contents).into_iter().any(&mut is_meant) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where the members of an archive are. `None` if it is none, or not a whole one.
fn members(archive: &File) -> Option<Vec<(u64, u64)>> {
    let data = ReadCache::new(archive);
    let length = archive.metadata().ok()?.len();
    let members = ArchiveFile::parse(&data).ok()?.members();
    members
        .map(|member| {
            let (offset, size) = member.ok()?.file_range();
            (offset.checked_add(size)? <= length).then_some((offset, size))
        })
        .collect()
}

/// What is in an object, but for debug information and names of symbols.
fn sections(contents: &[u8]) -> Vec<&[u8]> {
    let Ok(object) = object::File::parse(contents) else {
        return vec![contents];
    };
    let mut parts = Vec::new();
    let is_debug = |section: &object::Section<'_, '_>| {
        let name = section.name_bytes().unwrap_or_default();
        let starts = [&b".debug"[..], b".zdebug", b"__debug", b"__zdebug"];
        starts.iter().any(|start| name.starts_with(start)) || name == b".strtab"
    };
    let mut sections: Vec<_> = object
        .sections()
        .filter_map(|section| Some((section.file_range()?, is_debug(&section))))
        .collect();
    sections.sort_unstable();
    // What is in no section counts, as what was appended to the file.
    let mut start = 0;
    for ((offset, size), is_debug) in sections {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = offset.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        parts.extend(contents.get(start..offset));
        if !is_debug {
            parts.extend(contents.get(offset..end));
        }
        start = start.max(end);
    }
    parts.extend(contents.get(start..));
    parts
}

/// What LLVM's bitcode starts with, see <https://llvm.org/docs/BitCodeFormat.html>.
const BITCODE_MAGIC: &[u8; 4] = b"BC\xC0\xDE";

/// Whether `contents` is LLVM's bitcode, which is what compilers leave for optimization when
/// linking.
pub(crate) fn is_bitcode(contents: &[u8]) -> bool {
    contents.starts_with(BITCODE_MAGIC)
}

/// What follows each occurrence of `needle` in bitcode, that included, up to `length` bytes.
///
/// Strings are arrays of characters of 7 or 8 bits each there, that start at any bit.
pub(crate) fn find_in_bitcode(contents: &[u8], needle: &[u8], length: usize) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for width in [7, 8] {
        if width == 7 && !needle.is_ascii() {
            continue;
        }
        for shift in 0..8 {
            let bits = pack(needle, width, shift);
            // The first and the last byte have bits of others.
            let [_, inner @ .., _] = bits.as_slice() else {
                continue;
            };
            for at in memmem::find_iter(contents, inner) {
                let Some(start) = at.checked_sub(1) else {
                    continue;
                };
                let text = unpack(contents, start * 8 + shift, width, length);
                if text.starts_with(needle) {
                    found.push(text);
                }
            }
        }
    }
    found
}

/// `text` as characters of `width` bits after `shift` bits, the lowest bit of a byte first.
fn pack(text: &[u8], width: usize, shift: usize) -> Vec<u8> {
    let mut packed = vec![0; (shift + text.len() * width).div_ceil(8)];
    for (number, byte) in text.iter().enumerate() {
        for bit in 0..width {
            let at = shift + number * width + bit;
            packed[at / 8] |= (byte >> bit & 1) << (at % 8);
        }
    }
    packed
}

/// As many of `length` characters of `width` bits, from the bit `start`, as there are.
fn unpack(packed: &[u8], start: usize, width: usize, length: usize) -> Vec<u8> {
    let bit = |at: usize| Some(packed.get(at / 8)? >> (at % 8) & 1);
    let character = |number: usize| {
        (0..width).try_fold(0, |byte, bit_number| {
            Some(byte | bit(start + number * width + bit_number)? << bit_number)
        })
    };
    (0..length).map_while(character).collect()
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
    fn what_is_in_no_section_counts() {
        let mut object = object_with_debug_info(".debug_str", b"/out");
        object.extend_from_slice(b"/appended");
        let parts = sections(&object).concat();
        assert!(memmem::find(&parts, b"/appended").is_some());
        assert!(memmem::find(&parts, b"/out").is_none());
    }

    #[test]
    fn strings_are_found_in_bitcode() {
        let text = b"/some/where/out/file.rs and more";
        for width in [7, 8] {
            for shift in 0..8 {
                let mut contents = BITCODE_MAGIC.to_vec();
                contents.extend(pack(text, width, shift));
                let found = find_in_bitcode(&contents, b"/where/out", 18);
                assert_eq!(found, [b"/where/out/file.rs"], "{width} {shift}");
                assert!(find_in_bitcode(&contents, b"/else/where/out", 20).is_empty());
            }
        }
    }

    #[test]
    fn members_are_looked_at_one_by_one() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("x.rlib");
        let parts = |contents: &[u8]| {
            std::fs::write(&path, contents).expect("write");
            let mut parts = Vec::new();
            let look = |part: &[u8]| {
                parts.push(part.to_vec());
                false
            };
            assert!(!any_part(&path, look).expect("read"));
            parts
        };
        let mut object = object_with_debug_info(".debug_str", b"/out");
        object.resize(object.len().next_multiple_of(2), b'.');
        let header = |size: usize| format!("{:48}{size:<10}`\n", "name/");
        let archive = [
            b"!<arch>\n",
            header(4).as_bytes(),
            b"text",
            header(object.len()).as_bytes(),
            &object,
        ]
        .concat();
        let expected = [vec![&b"text"[..]], sections(&object)].concat();
        assert_eq!(parts(&archive), expected);
        assert_eq!(parts(&object), sections(&object));
        // Some of a member is missing.
        let cut = &archive[..archive.len() - 2];
        assert_eq!(parts(cut), [cut]);
        assert_eq!(parts(b""), [b""]);
        std::fs::write(&path, &archive).expect("write");
        assert!(any_part(&path, |part| part == b"text").expect("read"));
        any_part(&dir.path().join("none"), |_| true).expect_err("no file");
    }

    #[test]
    fn what_is_no_object_is_taken_whole() {
        let archive = b"!<arch>\nname";
        for contents in [&archive[..], b"rust\0\0\0\x09...", b"\x7fELF"] {
            assert_eq!(sections(contents), [contents]);
        }
    }

    #[test]
    fn debug_info_is_left_out() {
        let object = object_with_debug_info(".debug_str", b"/out");
        let has = |contents: &[u8], text: &[u8]| memmem::find(contents, text).is_some();
        assert!(has(&object, b"/out") && has(&object, b"code"));
        let parts = sections(&object);
        assert!(parts.iter().any(|part| has(part, b"code")));
        assert!(!parts.iter().any(|part| has(part, b"/out")));
        let object = object_with_debug_info(".rodata", b"/out");
        let parts = sections(&object);
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
