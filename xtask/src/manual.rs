//! The manual page, made of `docs/settings.md`.
//!
//! Of Markdown, what that file uses: a table has two columns, and its rows become tagged paragraphs.

use anyhow::{Context, Result, bail, ensure};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, italic, roman};

use crate::repo::Repo;
use crate::shell;

/// Where the page goes, below a prefix.
pub(crate) const PAGE: &str = "share/man/man7/cargo-roots.7";

/// Our documents that the page refers to, and where they go, below a prefix.
pub(crate) const DOCUMENTS: &[&str] = &["security.md"];
pub(crate) const DOCUMENTS_DIR: &str = "share/doc/cargo-roots";

/// What the page is made of.
const SOURCE: &str = "docs/settings.md";

/// What `whatis` says.
const NAME: &str = "cargo-roots - settings of Cargo for artifact roots";

/// Makes the page.
pub(crate) fn page(repo: &Repo) -> Result<String> {
    let text = shell::read(&repo.root().join(SOURCE))?;
    render(&text).with_context(|| format!("failed to make a manual page of `{SOURCE}`"))
}

/// Where text goes that is not in an own line.
#[derive(Default)]
struct Line {
    inlines: Vec<Inline>,
    /// How deep in `**`, in `*`, and in headings.
    is_bold: usize,
    is_italic: usize,
}

impl Line {
    fn push(&mut self, text: &str) {
        let text = text.to_owned();
        self.inlines.push(match (self.is_bold, self.is_italic) {
            (0, 0) => roman(text),
            (0, _) => italic(text),
            _ => bold(text),
        });
    }

    fn take(&mut self) -> Vec<Inline> {
        std::mem::take(&mut self.inlines)
    }
}

fn render(markdown: &str) -> Result<String> {
    let mut roff = Roff::new();
    roff.control("TH", ["CARGO-ROOTS", "7"]);
    // Names of settings and addresses are long, and no line is to be stretched for them.
    roff.control("ad", ["l"]);
    roff.control("SH", ["NAME"]).text([roman(NAME)]);
    let mut line = Line::default();
    let mut links = Vec::new();
    let mut document = None;
    let mut is_in_item = false;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => {}
            Event::End(TagEnd::Heading(level)) => {
                let is_section = level as usize == 2;
                let title: String = (line.take().into_iter())
                    .map(|inline| match inline {
                        Inline::Roman(text) if is_section => text.to_uppercase(),
                        // Names of settings stay as they are.
                        Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text,
                        Inline::LineBreak => " ".to_owned(),
                    })
                    .collect();
                match level as usize {
                    1 => roff.control("SH", ["DESCRIPTION"]),
                    2 => roff.control("SH", [title.as_str()]),
                    _ => roff.control("SS", [title.as_str()]),
                };
            }
            Event::Start(Tag::Paragraph) => {
                if !is_in_item {
                    roff.control("PP", []);
                }
            }
            Event::End(TagEnd::Paragraph) => {
                roff.text(line.take());
            }
            Event::Start(Tag::List(None)) => {}
            Event::Start(Tag::Item) => {
                is_in_item = true;
                roff.control("IP", ["\\(bu", "2"]);
            }
            Event::End(TagEnd::Item) => {
                is_in_item = false;
                roff.text(line.take());
            }
            Event::End(TagEnd::List(_)) => {}
            Event::Start(Tag::CodeBlock(_)) => {
                roff.control("PP", [])
                    .control("RS", ["4"])
                    .control("EX", []);
            }
            Event::End(TagEnd::CodeBlock) => {
                roff.text(line.take()).control("EE", []).control("RE", []);
            }
            Event::Start(Tag::Table(columns)) => {
                ensure!(columns.len() == 2, "expected tables of two columns");
            }
            // What its rows are about, in italics.
            Event::Start(Tag::TableHead) => {
                roff.control("TP", []);
                line.is_italic += 1;
            }
            Event::End(TagEnd::TableHead) => line.is_italic -= 1,
            Event::Start(Tag::TableRow) => {
                roff.control("TP", []);
            }
            Event::Start(Tag::TableCell) => {}
            Event::End(TagEnd::TableCell) => {
                roff.text(line.take());
            }
            Event::End(TagEnd::TableRow | TagEnd::Table) => {}
            Event::Start(Tag::Strong) => line.is_bold += 1,
            Event::End(TagEnd::Strong) => line.is_bold -= 1,
            Event::Start(Tag::Emphasis) => line.is_italic += 1,
            Event::End(TagEnd::Emphasis) => line.is_italic -= 1,
            Event::Start(Tag::Link { dest_url, .. }) => {
                if dest_url.starts_with("https:") {
                    links.push(dest_url);
                } else {
                    let file = dest_url.split('#').next().unwrap_or_default();
                    ensure!(
                        file.is_empty() || DOCUMENTS.contains(&file),
                        "`{file}` is referred to and not installed"
                    );
                    document = (!file.is_empty()).then(|| file.to_owned());
                }
            }
            Event::End(TagEnd::Link) => {
                // It is installed with the page.
                if let Some(file) = document.take() {
                    line.push(&format!(" ({DOCUMENTS_DIR}/{file})"));
                }
            }
            Event::Text(text) => line.push(&text),
            Event::Code(code) => {
                line.is_bold += 1;
                line.push(&code);
                line.is_bold -= 1;
            }
            Event::SoftBreak => line.push(" "),
            other => bail!("unexpected {other:?}"),
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("cargo"), roman("(1), "), bold("rustc"), roman("(1)")]);
    for url in links {
        roff.control("PP", []).text([roman(&*url)]);
    }
    Ok(roff.to_roff())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_the_settings() {
        let text = include_str!("../../docs/settings.md");
        let page = render(text).expect("page");
        for section in [
            ".SH build.search-path\n",
            ".SH build.deps-target-dir\n",
            ".SH build.trusted-roots\n",
            ".SH \"WHY WAS THIS COMPILED\"\n",
        ] {
            assert!(page.contains(section), "no {section:?}");
        }
    }

    #[test]
    fn what_the_documents_use() {
        let page = render(
            "# Title\n\nSome `code` and *more*, [here](#x), [there](https://a.b/), [more](security.md#x).\n\n## Part\n\n\
             ```toml\nkey = 1\n.dot\n```\n\n- one\n- two\n  lines\n\n| if | then |\n|---|---|\n| this | `that` |\n",
        )
        .expect("page");
        let expected = concat!(
            ".SH DESCRIPTION\n",
            ".PP\n",
            "Some \\fBcode\\fR and \\fImore\\fR, here, there, more (share/doc/cargo\\-roots/security.md).\n",
            ".SH PART\n",
            ".PP\n.RS 4\n.EX\nkey = 1\n\\&.dot\n\n.EE\n.RE\n",
            ".IP \\(bu 2\none\n",
            ".IP \\(bu 2\ntwo lines\n",
            ".TP\n\\fIif\\fR\n\\fIthen\\fR\n",
            ".TP\nthis\n\\fBthat\\fR\n",
            ".SH \"SEE ALSO\"\n\\fBcargo\\fR(1), \\fBrustc\\fR(1)\n",
            ".PP\nhttps://a.b/\n",
        );
        let start = page.find(".SH DESCRIPTION").expect("start");
        assert_eq!(&page[start..], expected);
    }
}
