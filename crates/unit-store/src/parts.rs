//! Looking through files that compilers wrote, a piece at a time: a cold build looks through all
//! that it makes, and is not to have that in memory.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use object::read::ReadCache;
use object::read::archive::ArchiveFile;
use object::{Object as _, ObjectSection as _};

/// How much of a file is looked at at once, in bytes.
const PIECE: usize = 128 * 1024;

/// A piece of a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// What is in it. Unless the part ends, it ends with as much of the next piece as was asked for.
    pub bytes: &'a [u8],
    /// How many of the bytes are not in the next piece.
    pub own: usize,
    /// Whether the part begins with it.
    pub is_first: bool,
}

impl<'a> Piece<'a> {
    /// A part that is in memory.
    pub fn whole(bytes: &'a [u8]) -> Piece<'a> {
        Piece {
            bytes,
            own: bytes.len(),
            is_first: true,
        }
    }
}

/// Whether `is_meant` holds for any piece of the compiled file at `path`, an archive or object of
/// whatever format. Debug information and names of symbols are left out. A section of an object is a
/// part, and what is between them; so is a member of an archive that is no object, and a file that
/// is neither, or can't be understood. What is not longer than `reach` bytes is in one piece.
///
/// # Errors
///
/// The file can't be read.
pub fn any_piece(
    path: &Path,
    reach: usize,
    mut is_meant: impl FnMut(Piece<'_>) -> bool,
) -> io::Result<bool> {
    let mut window = Window::open(path)?;
    let whole = Range {
        start: 0,
        size: window.length,
    };
    for member in members(&mut window).unwrap_or_else(|| vec![whole]) {
        for part in parts(&mut window, member) {
            if window.any_piece(part, PIECE, reach, &mut is_meant)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Where something is in a file, in bytes.
#[derive(Clone, Copy, Debug)]
struct Range {
    start: u64,
    size: u64,
}

/// The members of an archive. `None` if it is none, or not a whole one, or a thin one, which has paths in place of members.
fn members(window: &mut Window) -> Option<Vec<Range>> {
    let length = window.length;
    let data = ReadCache::new(window);
    let members = ArchiveFile::parse(&data).ok()?.members();
    members
        .map(|member| {
            let member = member.ok()?;
            let (start, size) = member.file_range();
            let is_here = !member.is_thin() && start.checked_add(size)? <= length;
            is_here.then_some(Range { start, size })
        })
        .collect()
}

/// What is in an object, but for debug information and names of symbols.
fn parts(window: &mut Window, member: Range) -> Vec<Range> {
    let data = ReadCache::new(window);
    let Ok(object) = object::File::parse(data.range(member.start, member.size)) else {
        return vec![member];
    };
    let is_debug = |section: &object::Section<'_, '_, _>| {
        let name = section.name_bytes().unwrap_or_default();
        let starts = [&b".debug"[..], b".zdebug", b"__debug", b"__zdebug"];
        starts.iter().any(|start| name.starts_with(start)) || name == b".strtab"
    };
    let mut sections: Vec<_> = object
        .sections()
        .filter_map(|section| Some((section.file_range()?, is_debug(&section))))
        .collect();
    sections.sort_unstable();
    let mut parts = Vec::new();
    let mut add = |start: u64, end: u64| {
        let end = end.min(member.size);
        if start < end {
            parts.push(Range {
                start: member.start + start,
                size: end - start,
            });
        }
    };
    // What is in no section counts, as what was appended to the file.
    let mut start = 0;
    for ((offset, size), is_debug) in sections {
        let end = offset.saturating_add(size);
        add(start, offset);
        if !is_debug {
            add(offset, end);
        }
        start = start.max(end);
    }
    add(start, member.size);
    parts
}

/// A file that is read mostly forwards.
struct Window {
    file: BufReader<File>,
    /// Where in the file the next byte is from. Not known after an error.
    at: Option<u64>,
    length: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn open(path: &Path) -> io::Result<Window> {
        let file = File::open(path)?;
        Ok(Window {
            length: file.metadata()?.len(),
            file: BufReader::with_capacity(PIECE, file),
            at: Some(0),
            bytes: Vec::new(),
        })
    }

    fn go_to(&mut self, to: u64) -> io::Result<()> {
        match self.at.take() {
            // What was read stays if it is near.
            Some(at) => self.file.seek_relative(to.wrapping_sub(at) as i64)?,
            None => _ = self.file.seek(SeekFrom::Start(to))?,
        }
        self.at = Some(to);
        Ok(())
    }

    /// What `read` does with the file: it says how many bytes it read.
    fn read_with<E>(
        &mut self,
        read: impl FnOnce(&mut BufReader<File>) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let at = self.at.take();
        let count = read(&mut self.file)?;
        self.at = at.map(|at| at + count as u64);
        Ok(count)
    }

    /// As [`any_piece`], of the range `part`.
    fn any_piece(
        &mut self,
        part: Range,
        piece: usize,
        reach: usize,
        is_meant: &mut impl FnMut(Piece<'_>) -> bool,
    ) -> io::Result<bool> {
        self.go_to(part.start)?;
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut left = part.size;
        let mut is_first = true;
        let is_found = loop {
            let missing = piece + reach - bytes.len();
            let size = usize::try_from(left).map_or(missing, |left| left.min(missing));
            bytes.reserve_exact(size);
            let count = self.read_with(|file| file.take(size as u64).read_to_end(&mut bytes))?;
            left -= count as u64;
            let is_last = left == 0 || count < size;
            let own = if is_last { bytes.len() } else { piece };
            let is_found = is_meant(Piece {
                bytes: &bytes,
                own,
                is_first,
            });
            if is_found {
                break true;
            }
            if is_last {
                break false;
            }
            bytes.drain(..own);
            is_first = false;
        };
        self.bytes = bytes;
        Ok(is_found)
    }
}

/// With `object`'s feature `std`, which xtask turns on, files have these methods as well.
///
/// The error of these says nothing: what can't be read here can't be when it is looked through, either.
impl object::read::ReadCacheOps for &mut Window {
    fn len(&mut self) -> Result<u64, ()> {
        Ok(self.length)
    }

    fn seek(&mut self, to: u64) -> Result<u64, ()> {
        self.go_to(to).map_err(drop)?;
        Ok(to)
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ()> {
        self.read_with(|file| Read::read(file, bytes)).map_err(drop)
    }

    fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), ()> {
        let size = bytes.len();
        self.read_with(|file| Read::read_exact(file, bytes).map(|()| size))
            .map(drop)
            .map_err(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn in_file(contents: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("temp file");
        std::fs::write(file.path(), contents).expect("write");
        file
    }

    /// All parts of a file with these contents.
    fn parts_of(contents: &[u8]) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        let look = |piece: Piece<'_>| {
            assert_eq!(piece, Piece::whole(piece.bytes));
            parts.push(piece.bytes.to_vec());
            false
        };
        assert!(!any_piece(in_file(contents).path(), 8, look).expect("read"));
        parts
    }

    fn has(parts: &[Vec<u8>], text: &[u8]) -> bool {
        (parts.iter()).any(|part| memchr::memmem::find(part, text).is_some())
    }

    #[test]
    fn debug_info_is_left_out() {
        let parts = parts_of(&object(".debug_str", b"/out"));
        assert!(has(&parts, b"code") && !has(&parts, b"/out"));
        let parts = parts_of(&object(".rodata", b"/out"));
        assert!(has(&parts, b"code") && has(&parts, b"/out"));
    }

    #[test]
    fn what_is_in_no_section_counts() {
        let object = object(".debug_str", b"/out");
        let parts = parts_of(&[&object[..], b"/appended"].concat());
        assert!(has(&parts, b"/appended") && !has(&parts, b"/out"));
    }

    #[test]
    fn what_is_no_object_is_taken_whole() {
        for contents in [&b"!<arch>\nname"[..], b"rust\0\0\0\x09...", b"\x7fELF", b""] {
            assert_eq!(parts_of(contents), [contents]);
        }
    }

    #[test]
    fn members_are_looked_at_one_by_one() {
        let mut object = object(".debug_str", b"/out");
        object.resize(object.len().next_multiple_of(2), b'.');
        let header = |size: usize| format!("{:48}{size:<10}`\n", "name/");
        let archive = [
            b"!<arch>\n",
            header(4).as_bytes(),
            b"text",
            header(object.len()).as_bytes(),
            &object,
            header(2).as_bytes(),
            b"no",
        ]
        .concat();
        let expected = [
            vec![b"text".to_vec()],
            parts_of(&object),
            vec![b"no".to_vec()],
        ]
        .concat();
        assert!(expected.len() > 3);
        assert_eq!(parts_of(&archive), expected);
        // Some of a member is missing.
        let cut = &archive[..archive.len() - 1];
        assert_eq!(parts_of(cut), [cut]);
        // What a thin one has is the paths of its members.
        let thin = format!(
            "!<thin>\n{:48}{:<10}`\n/out/a.o/\n{:48}{:<10}`\n",
            "//", 10, "/0", 4
        );
        assert_eq!(parts_of(thin.as_bytes()), [thin.as_bytes()]);
        let file = in_file(&archive);
        assert!(any_piece(file.path(), 8, |piece| piece.bytes == b"text").expect("read"));
        file.close().expect("close");
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().expect("temp dir");
        any_piece(&dir.path().join("none"), 8, |_| true).expect_err("no file");
    }

    #[test]
    fn pieces_overlap_as_far_as_asked() {
        let contents: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let file = in_file(&contents);
        for (start, size, piece_size, reach) in [
            (0, 1000, 7, 3),
            (0, 1000, 7, 9),
            (100, 21, 7, 0),
            (100, 22, 7, 3),
            (990, 10, 7, 3),
            (10, 7, 7, 3),
            (10, 0, 7, 3),
            // Beyond the end, as a file that gets shorter has.
            (990, 100, 7, 3),
        ] {
            let mut window = Window::open(file.path()).expect("open");
            let part = Range { start, size };
            let expected = &contents[start as usize..contents.len().min((start + size) as usize)];
            let mut at = 0;
            let mut look = |piece: Piece<'_>| {
                assert_eq!(piece.is_first, at == 0);
                let end = expected.len().min(at + piece_size + reach);
                assert_eq!(piece.bytes, &expected[at..end]);
                at += piece.own;
                false
            };
            let found = window.any_piece(part, piece_size, reach, &mut look);
            assert!(!found.expect("read"));
            assert_eq!(at, expected.len());
        }
    }

    /// A little ELF file with a section `.text`, and `name` with `contents`.
    fn object(name: &str, contents: &[u8]) -> Vec<u8> {
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
}
