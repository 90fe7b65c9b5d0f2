//! The packages of a case as files.
//!
//! Each library has a function `say` that returns all there is to know of the build it comes from: version, features,
//! variables, profile, what its build script and its macros found out, and what its dependencies say. Part of it, `OWN`,
//! is a constant as well, which dependents have copied at compile time: a dependent that is linked with another
//! build than it was compiled against says so.
//!
//! ```text
//! (n2 1.0.0 +f0 <n2-script 1.0.0 VAR_0=v1> [n0 1.0.0 {n0!n2 17}] (n1 1.0.0))
//! │             │                          │          │          └ dependency
//! │             │                          │          └ of an unstable macro: who expanded it, and what is different each time
//! │             │                          └ what a macro of the dependency expanded to
//! │             └ what the build script told
//! └ package
//! ```

use std::fmt::Write as _;
use std::path::PathBuf;

use super::model::{Case, Edge, Features, Kind, Links, Node, Script, Source, Table, Tells};
use crate::utils::packages::LOG_RUN;

/// Where packages are and which versions they have.
pub(super) struct Packages<'a> {
    pub(super) nodes: &'a [Node],
    /// The last number of the version, or how often a member was edited.
    pub(super) versions: &'a [u32],
    /// The directory of the project.
    pub(super) app: PathBuf,
    /// The repository with all packages from git.
    pub(super) git: PathBuf,
    /// The directory with the files that build scripts watch.
    pub(super) watched: PathBuf,
}

/// What the dependencies of a node are called in the code of its dependents.
pub(super) fn crate_name(nodes: &[Node], node: usize) -> String {
    if node + 1 == nodes.len() {
        "app".to_owned()
    } else {
        format!("n{node}")
    }
}

pub(super) fn package_name(nodes: &[Node], node: usize) -> String {
    crate_name(nodes, node - usize::from(nodes[node].second))
}

impl Packages<'_> {
    pub(super) fn version(&self, node: usize) -> String {
        let major = 1 + u32::from(self.nodes[node].second);
        match self.nodes[node].source {
            Source::Registry | Source::Git => format!("{major}.0.{}", self.versions[node]),
            Source::Member => "1.0.0".to_owned(),
        }
    }

    /// All files of a package but the program and test of the project itself.
    pub(super) fn files(&self, node: usize) -> Vec<(&'static str, String)> {
        let mut files = vec![
            ("Cargo.toml", self.manifest(node)),
            ("src/lib.rs", self.lib(node)),
        ];
        if let Some(script) = &self.nodes[node].script {
            files.push(("build.rs", self.build_script(node, script)));
        }
        if node + 1 == self.nodes.len() {
            files.push((
                "src/main.rs",
                "fn main() { println!(\"{}\", app::say()); }\n".to_owned(),
            ));
            files.push(("tests/says.rs", self.test(node)));
        }
        files
    }

    fn manifest(&self, node: usize) -> String {
        let mut text = format!(
            "[package]\nname = '{}'\nversion = '{}'\nedition = '2021'\n",
            package_name(self.nodes, node),
            self.version(node)
        );
        let Node {
            kind,
            edges,
            script,
            ..
        } = &self.nodes[node];
        if script.as_ref().is_some_and(|script| script.links.is_some()) {
            writeln!(text, "links = 'native_n{node}'").unwrap();
        }
        text += "[lib]\ntest = false\ndoctest = false\n";
        if *kind != Kind::Lib {
            text += "proc-macro = true\n";
        }
        for (table, title) in [
            (Table::Normal, "dependencies"),
            (Table::ForBuild, "build-dependencies"),
            (Table::ForDev, "dev-dependencies"),
        ] {
            writeln!(text, "[{title}]").unwrap();
            for edge in edges.iter().filter(|edge| edge.table == table) {
                text += &self.dependency(edge.to, edge.features, edge.default, edge.optional);
            }
        }
        text += "[features]\n";
        for (name, enables) in self.features(node) {
            writeln!(text, "{name} = {enables:?}").unwrap();
        }
        if node + 1 == self.nodes.len() {
            text += "[[bin]]\nname = 'app'\ntest = false\n";
            text += "[[test]]\nname = 'says'\nharness = false\n";
            let members = (0..node).filter(|node| self.nodes[*node].source == Source::Member);
            let members: Vec<String> = members.map(|node| format!("'n{node}'")).collect();
            writeln!(text, "[workspace]\nmembers = [{}]", members.join(", ")).unwrap();
            text += PROFILES;
        }
        text
    }

    /// Each feature with what it enables.
    pub(super) fn features(&self, node: usize) -> Vec<(String, Vec<String>)> {
        let Node { edges, default, .. } = &self.nodes[node];
        let mut features = Vec::new();
        if *default {
            features.push(("default".to_owned(), vec!["f1".to_owned()]));
        }
        for feature in 0..2 {
            let mut enables = Vec::new();
            for edge in edges {
                let Edge { to, optional, .. } = edge;
                if *optional == Some(feature) {
                    enables.push(format!("dep:n{to}"));
                }
                if feature == 1 && edge.forward && edge.table != Table::ForDev {
                    let weak = if optional.is_some() { "?" } else { "" };
                    enables.push(format!("n{to}{weak}/f1"));
                }
            }
            features.push((format!("f{feature}"), enables));
        }
        features
    }

    /// A line of a table of dependencies.
    fn dependency(
        &self,
        node: usize,
        features: Features,
        default: bool,
        optional: Option<u8>,
    ) -> String {
        let place = match self.nodes[node].source {
            Source::Registry => {
                format!("version = '{}'", 1 + u32::from(self.nodes[node].second))
            }
            Source::Git => format!("git = 'file://{}'", self.git.display()),
            Source::Member => format!("path = '{}'", self.app.join(format!("n{node}")).display()),
        };
        let package = package_name(self.nodes, node);
        let features: Vec<String> = feature_names(features)
            .map(|feature| format!("'{feature}'"))
            .collect();
        let features = features.join(", ");
        let optional = optional.is_some();
        format!(
            "n{node} = {{ package = '{package}', {place}, default-features = {default}, \
             optional = {optional}, features = [{features}] }}\n"
        )
    }

    /// The manifest of a project that depends on those packages whose bits are set in `uses`, or on all.
    pub(super) fn filler_manifest(&self, uses: u8, features: Features) -> String {
        let mut text = format!(
            "[package]\nname = 'filler'\nversion = '0.1.0'\nedition = '2021'\n{PROFILES}\
             [workspace]\n[dependencies]\n"
        );
        let others: Vec<usize> = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].source != Source::Member)
            .collect();
        let named = |node: &usize| uses & (1 << node) != 0;
        let is_any = others.iter().any(named);
        for node in others.into_iter().filter(|node| !is_any || named(node)) {
            text += &self.dependency(node, features, true, None);
        }
        text
    }

    fn lib(&self, node: usize) -> String {
        let name = crate_name(self.nodes, node);
        let this = &self.nodes[node];
        let mut own = format!("\"{name} {}\",\n", self.version(node));
        if this.source == Source::Member {
            writeln!(own, "\" edit {}\",", self.versions[node]).unwrap();
        }
        for (condition, text) in [
            ("feature = \"f0\"", " +f0"),
            ("feature = \"f1\"", " +f1"),
            ("not(debug_assertions)", " release"),
            ("flagged", " flagged"),
        ] {
            writeln!(
                own,
                "if cfg!({condition}) {{ \"{text}\" }} else {{ \"\" }},"
            )
            .unwrap();
        }
        if let Some(var) = this.reads {
            writeln!(
                own,
                "\" VAR_{var}=\", match option_env!(\"VAR_{var}\") {{ Some(value) => value, None => \"-\" }},"
            )
            .unwrap();
        }
        if let Some(file) = this.includes {
            let path = self.watched.join(file.to_string());
            writeln!(own, "\" \", include_str!(\"{}\"),", path.display()).unwrap();
        }
        if this.bakes_dir {
            own += "\" \", env!(\"CARGO_MANIFEST_DIR\"),\n";
        }
        let mut more = String::new();
        match this.script.as_ref().map(|script| script.tells) {
            Some(Tells::RustcEnv) => own += "\" <\", env!(\"SCRIPT\"), \">\",\n",
            Some(Tells::Include) => {
                own += "\" <\", include!(concat!(env!(\"OUT_DIR\"), \"/text.rs\")), \">\",\n";
            }
            Some(Tells::AtRunTime) => {
                more += "let told = std::fs::read_to_string(concat!(env!(\"OUT_DIR\"), \"/text\"));\n\
                    text += &format!(\" <{}>\", told.unwrap_or_else(|error| error.to_string()));\n";
            }
            None => {}
        }
        let mut copies = String::new();
        for edge in &this.edges {
            if edge.table != Table::Normal {
                continue;
            }
            let to = edge.to;
            let condition = match edge.optional {
                Some(feature) => format!("#[cfg(feature = \"f{feature}\")] "),
                None => String::new(),
            };
            if self.nodes[to].kind == Kind::Lib {
                writeln!(copies, "{condition}const N{to}: &[&str] = n{to}::OWN;").unwrap();
                writeln!(
                    more,
                    "{condition}{{ text += \" \"; text += &n{to}::say();\n\
                     if N{to}.concat() != n{to}::own() {{ text += \" COMPILED AGAINST \"; text += &N{to}.concat(); }} }}"
                )
                .unwrap();
            } else {
                writeln!(own, "{condition}concat!(\" \", n{to}::say!(\"{name}\")),").unwrap();
            }
        }
        let functions = match this.kind {
            Kind::Lib => "pub fn say() -> String { format!(\"({})\", text()) }".to_owned(),
            Kind::Macro => MACRO.to_owned(),
            Kind::UnstableMacro => UNSTABLE_MACRO.replace("NAME", &name),
        };
        // What only crates of libraries may have.
        let public = if this.kind == Kind::Lib { "pub " } else { "" };
        format!(
            "#![allow(warnings)]\n{copies}\
             {public}const OWN: &[&str] = &[\n{own}];\n\
             #[inline(never)]\n{public}fn own() -> String {{ OWN.concat() }}\n\
             fn text() -> String {{\nlet mut text = own();\n{more}text\n}}\n{functions}\n"
        )
    }

    fn build_script(&self, node: usize, script: &Script) -> String {
        let name = format!("{}-script", crate_name(self.nodes, node));
        let mut body = format!(
            "let mut text = String::from(\"{name} {}\");\n",
            self.version(node)
        );
        body += "for feature in [\"F0\", \"F1\"] {\n\
            if std::env::var_os(format!(\"CARGO_FEATURE_{feature}\")).is_some() { text += \" +\"; text += feature; }\n}\n\
            text += \" \"; text += &std::env::var(\"PROFILE\").unwrap();\n";
        if let Some(var) = script.var {
            writeln!(
                body,
                "println!(\"cargo::rerun-if-env-changed=VAR_{var}\");\n\
                 text += \" VAR_{var}=\"; text += std::env::var(\"VAR_{var}\").as_deref().unwrap_or(\"-\");"
            )
            .unwrap();
        }
        if let Some(file) = script.file {
            let path = self.watched.join(file.to_string());
            writeln!(
                body,
                "println!(\"cargo::rerun-if-changed={0}\");\n\
                 text += \" file=\"; text += &std::fs::read_to_string(\"{0}\").unwrap();",
                path.display()
            )
            .unwrap();
        }
        let edges = &self.nodes[node].edges;
        for edge in edges.iter().filter(|edge| edge.table == Table::Normal) {
            let script = self.nodes[edge.to].script.as_ref();
            let Some(links) = script.and_then(|script| script.links) else {
                continue;
            };
            let said = match links {
                Links::Text => "said",
                Links::Path => "std::fs::read_to_string(said).unwrap()",
            };
            writeln!(
                body,
                "if let Ok(said) = std::env::var(\"DEP_NATIVE_N{}_SAID\") {{ text += \" dep \"; text += &{said}; }}",
                edge.to
            )
            .unwrap();
        }
        body += "let out = std::env::var(\"OUT_DIR\").unwrap();\n";
        body += match script.links {
            Some(Links::Text) => "println!(\"cargo::metadata=said={text}\");\n",
            Some(Links::Path) => {
                "std::fs::write(format!(\"{out}/said\"), &text).unwrap();\n\
                 println!(\"cargo::metadata=said={out}/said\");\n"
            }
            None => "",
        };
        for edge in edges.iter().filter(|edge| edge.table == Table::ForBuild) {
            let to = edge.to;
            let said = match self.nodes[to].kind {
                Kind::Lib => format!("&n{to}::say()"),
                Kind::Macro | Kind::UnstableMacro => format!("n{to}::say!(\"{name}\")"),
            };
            writeln!(body, "text += \" \"; text += {said};").unwrap();
        }
        body += match script.tells {
            Tells::RustcEnv => "println!(\"cargo::rustc-env=SCRIPT={text}\");\n",
            Tells::Include => {
                "std::fs::write(format!(\"{out}/text.rs\"), format!(\"{text:?}\")).unwrap();\n"
            }
            Tells::AtRunTime => "std::fs::write(format!(\"{out}/text\"), text).unwrap();\n",
        };
        format!("fn main() {{\nlog_run();\n{body}}}\n{LOG_RUN}")
    }

    /// A test of the project, which also says what its dev-dependencies say.
    fn test(&self, node: usize) -> String {
        let mut body = String::from("let mut text = app::say();\n");
        let edges = self.nodes[node].edges.iter();
        for edge in edges.filter(|edge| edge.table == Table::ForDev) {
            let to = edge.to;
            let said = match self.nodes[to].kind {
                Kind::Lib => format!("&n{to}::say()"),
                Kind::Macro | Kind::UnstableMacro => format!("n{to}::say!(\"app-test\")"),
            };
            writeln!(body, "text += \" \"; text += {said};").unwrap();
        }
        format!("fn main() {{\n{body}println!(\"{{text}}\");\n}}\n")
    }
}

/// Names of the features whose bits are set.
pub(super) fn feature_names(features: Features) -> impl Iterator<Item = String> {
    (0..2)
        .filter(move |bit| features & (1 << bit) != 0)
        .map(|bit| format!("f{bit}"))
}

/// As little to do as possible. The profiles differ in whether there are debug assertions.
const PROFILES: &str = "\
[profile.dev]
debug = 0
incremental = false
codegen-units = 1
[profile.release]
opt-level = 0
codegen-units = 1
";

const MACRO: &str = r#"
use proc_macro::TokenStream;
#[proc_macro]
pub fn say(_user: TokenStream) -> TokenStream {
    format!("{:?}", format!("[{}]", text())).parse().unwrap()
}
"#;

const UNSTABLE_MACRO: &str = r#"
use proc_macro::TokenStream;
#[proc_macro]
pub fn say(user: TokenStream) -> TokenStream {
    let user = user.to_string();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let text = format!("[{} {{NAME!{} {}}}]", text(), user.trim_matches('"'), now.as_nanos());
    format!("{text:?}").parse().unwrap()
}
"#;

/// The text of a library, changed in such a way that it says so.
pub(super) fn changed(lib: &str, how: &str) -> String {
    lib.replacen(
        "OWN: &[&str] = &[\n",
        &format!("OWN: &[&str] = &[\n\"{how} \",\n"),
        1,
    )
}

/// What a program said, without what is different each time.
pub(super) fn mask(said: &str) -> String {
    let mut masked = String::new();
    for part in said.split_inclusive(['{', '}']) {
        match part.strip_suffix('}').and_then(|part| part.split_once(' ')) {
            Some((user, _)) => write!(masked, "{user}}}").unwrap(),
            None => masked += part,
        }
    }
    masked
}

/// Makes sure that the program has one build of each crate: wherever an expansion of an unstable macro shows, it is the
/// same. A crate that is used by the program and by build scripts or macros may be built for each.
pub(super) fn check_expansions(said: &str) -> Result<(), String> {
    let mut seen = std::collections::HashMap::new();
    // `[` and `<` are open while something is said that was said at compile time.
    let mut open = 0_usize;
    let mut rest = said;
    while let Some(next) = rest.find(['[', ']', '<', '>', '{']) {
        let (bracket, after) = rest[next..].split_at(1);
        rest = after;
        match bracket {
            "[" | "<" => open += 1,
            "{" => {
                let (expansion, after) = rest.split_once('}').ok_or("cut off")?;
                rest = after;
                let (user, value) = expansion.split_once(' ').ok_or("no value")?;
                // It stands in the brackets of the macro, and of the build script if that expanded it.
                let own = 1 + usize::from(user.ends_with("-script"));
                let place = (user, open > own);
                if *seen.entry(place).or_insert(value) != value {
                    return Err(format!("two builds with an expansion {user} in `{said}`"));
                }
            }
            _ => open = open.saturating_sub(1),
        }
    }
    Ok(())
}

impl Case {
    /// Whether anything in a program depends on where `CARGO_HOME` is.
    pub(super) fn bakes_home(&self) -> bool {
        self.nodes
            .iter()
            .any(|node| node.bakes_dir && node.source != Source::Member)
    }
}
