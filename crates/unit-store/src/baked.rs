//! Paths in what was built.

use std::path::{Path, PathBuf};

use memchr::memmem;

use crate::Piece;

/// Whether the text `contents` has `path` in it, as it is or as a string literal of Rust or C.
pub fn mentions_path(contents: &[u8], path: &Path) -> bool {
    forms(path).any(|form| memmem::find(contents, &form).is_some())
}

/// Length of the longest text that [`mentions_path`] looks for with any of `paths`, in bytes.
pub fn longest_mention<'a>(paths: impl IntoIterator<Item = &'a Path>) -> usize {
    let lengths = (paths.into_iter().flat_map(forms)).map(|form| form.len());
    lengths.max().unwrap_or(0)
}

fn forms(path: &Path) -> impl Iterator<Item = Vec<u8>> + use<> {
    let name = path.to_string_lossy();
    let escaped = [
        name.escape_debug().to_string(),
        name.escape_default().to_string(),
    ]
    .map(|escaped| (escaped != name).then(|| escaped.into_bytes()));
    std::iter::once(path.as_os_str().as_encoded_bytes().to_vec())
        .chain(escaped.into_iter().flatten())
}

/// What a compiler may have left of a directory without having been asked to, debug information
/// apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traces<'a> {
    /// Code that it read there. The names are in messages.
    pub code: &'a [PathBuf],
    /// Other files that it read there. The names may be in metadata.
    pub data: &'a [PathBuf],
    /// Whether the names of code may be elsewhere as well, see `file!`.
    pub names_are_used: bool,
    /// How often the directory itself may be in metadata. If rustc was run in it, that is once for
    /// each file it read.
    pub run_in: usize,
}

/// Whether a compiled file has a directory in it for other reasons than the compiler's own, the
/// [`Traces`].
///
/// Compilers write the names of the files that they read into what they produce, which is
/// harmless when those are moved. A path that appears otherwise was asked for by the source
/// (`env!("OUT_DIR")`, say) and would be wrong elsewhere. In rustc's metadata, strings end with a
/// byte of its own, and names of files in messages with a zero.
#[derive(Clone, Debug)]
pub struct BakedDir {
    dir: Vec<u8>,
    code: Vec<Vec<u8>>,
    data: Vec<Vec<u8>>,
    names_are_used: bool,
    run_in: usize,
    /// How often the directory itself was in the metadata of this part.
    seen: usize,
    is_bitcode: bool,
}

impl BakedDir {
    /// Looks for `dir`.
    pub fn new(dir: &Path, traces: Traces<'_>) -> BakedDir {
        let bytes = |path: &Path| path.as_os_str().as_encoded_bytes().to_vec();
        BakedDir {
            dir: bytes(dir),
            code: traces.code.iter().map(|file| bytes(file)).collect(),
            data: traces.data.iter().map(|file| bytes(file)).collect(),
            names_are_used: traces.names_are_used,
            run_in: traces.run_in,
            seen: 0,
            is_bitcode: false,
        }
    }

    /// How many bytes have to be in one piece.
    pub fn reach(&self) -> usize {
        // Bits of characters may be in a byte more at both ends.
        self.length() + 2
    }

    /// With what follows the longest name.
    fn length(&self) -> usize {
        let names = self.code.iter().chain(&self.data);
        names.chain([&self.dir]).map(Vec::len).max().unwrap_or(0) + 1
    }

    /// Whether it is in the next piece of a file, see [`any_piece`](crate::any_piece).
    pub fn is_in(&mut self, piece: Piece<'_>) -> bool {
        if piece.is_first {
            self.seen = 0;
            self.is_bitcode = is_bitcode(piece.bytes);
        }
        if self.is_bitcode {
            let found = find_in_bitcode(piece, &self.dir, self.length());
            if found.iter().any(|rest| self.is_baked(rest)) {
                return true;
            }
        }
        let finder = memmem::Finder::new(&self.dir).into_owned();
        (finder.find_iter(piece.bytes))
            .take_while(|at| *at < piece.own)
            .any(|at| self.is_baked(&piece.bytes[at..]))
    }

    /// Whether `rest`, which starts with the directory, is not one of the traces.
    fn is_baked(&mut self, rest: &[u8]) -> bool {
        const STRING_END: u8 = 0xc1;
        let next = |path: &[u8]| Some(rest.strip_prefix(path)?.first().copied());
        let is_string = |path: &[u8]| next(path) == Some(Some(STRING_END));
        let is_name = |file: &[u8]| match next(file) {
            Some(next) => self.names_are_used || matches!(next, Some(0 | STRING_END)),
            None => false,
        };
        if is_string(&self.dir) {
            self.seen += 1;
            return self.seen > self.run_in;
        }
        !(self.code.iter().any(|file| is_name(file))
            || self.data.iter().any(|file| is_string(file)))
    }
}

/// `contents` with every `path` in it taken out, so that equal contents of two places are equal.
pub fn without_path(contents: &[u8], path: &Path) -> Vec<u8> {
    let needle = path.as_os_str().as_encoded_bytes();
    let mut result = Vec::with_capacity(contents.len());
    let mut start = 0;
    for at in memchr::memmem::find_iter(contents, needle) {
        result.extend_from_slice(&contents[start..at]);
        result.push(0);
        start = at + needle.len();
    }
    result.extend_from_slice(&contents[start..]);
    result
}

/// What LLVM's bitcode starts with, see <https://llvm.org/docs/BitCodeFormat.html>.
const BITCODE_MAGIC: &[u8; 4] = b"BC\xC0\xDE";

/// Whether `contents` is LLVM's bitcode, which is what compilers leave for optimization when
/// linking.
fn is_bitcode(contents: &[u8]) -> bool {
    contents.starts_with(BITCODE_MAGIC)
}

/// What follows each occurrence of `needle` in a piece of bitcode, that included, up to `length`
/// bytes.
///
/// Strings are arrays of characters of 7 or 8 bits each there, that start at any bit.
fn find_in_bitcode(piece: Piece<'_>, needle: &[u8], length: usize) -> Vec<Vec<u8>> {
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
            for at in memmem::find_iter(piece.bytes, inner) {
                let Some(start) = at.checked_sub(1).filter(|start| *start < piece.own) else {
                    continue;
                };
                let text = unpack(piece.bytes, start * 8 + shift, width, length);
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

    #[test]
    fn strings_are_found_in_bitcode() {
        let text = b"/some/where/out/file.rs and more";
        for width in [7, 8] {
            for shift in 0..8 {
                let mut contents = BITCODE_MAGIC.to_vec();
                contents.extend(pack(text, width, shift));
                let found = find_in_bitcode(Piece::whole(&contents), b"/where/out", 18);
                assert_eq!(found, [b"/where/out/file.rs"], "{width} {shift}");
                assert!(
                    find_in_bitcode(Piece::whole(&contents), b"/else/where/out", 20).is_empty()
                );
            }
        }
    }

    #[test]
    fn pieces_are_as_good_as_the_whole() {
        let (code, data) = ([PathBuf::from("/out/gen.rs")], [PathBuf::from("/out/a.md")]);
        let traces = Traces {
            code: &code,
            data: &data,
            names_are_used: false,
            run_in: 1,
        };
        let dir = Path::new("/out");
        let bits = [BITCODE_MAGIC.to_vec(), pack(b"/out/gen.rs\0 /out/x", 7, 3)].concat();
        let named = [BITCODE_MAGIC.to_vec(), pack(b"/out/gen.rs\0", 7, 3)].concat();
        for contents in [
            &b"1234/out/gen.rs\0/out/gen.rs\xc1/out\xc1/out/a.md\xc1..................."[..],
            b"1234/out/gen.rs\0/out/gen.rs\xc1/out\xc1/out/a.md\xc1......../out\xc1.........",
            b"1234/out/gen.rs\0/out/gen.rs\xc1/out\xc1/out/a.md\xc1......../out/gen.rsx.......",
            b"................................../out",
            &bits,
            &named,
        ] {
            let whole = BakedDir::new(dir, traces).is_in(Piece::whole(contents));
            for size in 1..contents.len() {
                let mut baked = BakedDir::new(dir, traces);
                let reach = baked.reach();
                let is_in = (0..contents.len()).step_by(size).any(|start| {
                    let rest = &contents[start..];
                    let bytes = &rest[..rest.len().min(size + reach)];
                    baked.is_in(Piece {
                        bytes,
                        own: bytes.len().min(size),
                        is_first: start == 0,
                    })
                });
                assert_eq!(is_in, whole, "{size} {contents:?}");
            }
        }
    }

    #[test]
    fn names_of_sources_are_not_baked_in() {
        let bakes_dir = |contents: &[u8], dir: &str, traces| {
            BakedDir::new(Path::new(dir), traces).is_in(Piece::whole(contents))
        };
        let out = "/out";
        let (code, data) = ([PathBuf::from("/out/gen.rs")], [PathBuf::from("/out/a.md")]);
        let traces = Traces {
            code: &code,
            data: &data,
            ..Traces::default()
        };
        assert!(!bakes_dir(b"xx/out/gen.rs\0yy", out, traces));
        assert!(!bakes_dir(b"xx/out/gen.rs\xc1yy", out, traces));
        assert!(bakes_dir(b"\0/out\0gen.rs\0", out, traces));
        assert!(bakes_dir(b"/out/gen.rs\0 and /out", out, traces));
        assert!(bakes_dir(b"/out/data.bin", out, traces));
        // In metadata the name of a file, in code a constant.
        assert!(!bakes_dir(b"/out/a.md\xc1", out, traces));
        assert!(bakes_dir(b"/out/a.md", out, traces));
        assert!(bakes_dir(b"/out/gen.rsyy", out, traces));
        let names_are_used = Traces {
            names_are_used: true,
            ..traces
        };
        assert!(!bakes_dir(b"/out/gen.rsyy", out, names_are_used));
        let run_in = Traces {
            run_in: 2,
            ..traces
        };
        assert!(!bakes_dir(b"/out\xc1/out\xc1", out, run_in));
        assert!(bakes_dir(b"/out\xc1/out\xc1/out\xc1", out, run_in));
        assert!(bakes_dir(b"/out\xc1", out, traces));
        assert!(bakes_dir(b"/out", out, run_in));
    }

    #[test]
    fn escaped_paths_are_mentioned() {
        for (path, text) in [
            ("/a/b", r#"x = "/a/b/c";"#),
            (r#"/a "b""#, r#"x = "/a \"b\"/c";"#),
            (r"C:\a\b", r#"x = "C:\\a\\b\\c";"#),
        ] {
            assert!(mentions_path(text.as_bytes(), Path::new(path)), "{path}");
        }
        assert!(!mentions_path(b"/a/c", Path::new("/a/b")));
    }
}
