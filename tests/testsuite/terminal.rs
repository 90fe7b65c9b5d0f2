//! What a user sees in a terminal: widths, colours, links, completions.

use std::path::Path;
use std::process::Command;

use cargo_test_support::compare::assert_ui;
use cargo_test_support::{paths, prelude::*, str};

use crate::utils::cargo::Cargo;
use crate::utils::packages::{CHAIN, CHAIN_MAIN, chain_root, package, scripted};
use crate::utils::{ProjectExt, app, cargo_exe, repository, skip};

/// A project over `chain_root`, and a package that takes its time and no root has.
fn over_a_root(line: &str) -> (cargo_test_support::Project, Cargo) {
    let root = chain_root("root");
    // Cargo shows how far it is after half a second.
    scripted(
        "slow",
        "std::thread::sleep(std::time::Duration::from_millis(1500));",
        "",
    )
    .publish();
    package("other").dep("slow", "1.0").publish();
    let dependencies = format!("{CHAIN}\nother = '1.0'");
    let app = app("app", &dependencies, CHAIN_MAIN);
    app.cargo("fetch").run();
    let cargo = app.cargo(line).plain().roots([root]);
    (app, cargo)
}

/// Lines of a screen that start with one of these words.
fn lines_of(screen: &str, words: &[&str]) -> String {
    let is_wanted = |line: &&str| {
        let first = line.split_whitespace().next();
        first.is_some_and(|first| words.contains(&first))
    };
    let mut lines: Vec<_> = screen.lines().filter(is_wanted).collect();
    lines.sort();
    lines.join("\n") + "\n"
}

/// Nothing of the progress bar is left over, and what doesn't fit into a row goes on in the next.
#[cargo_test]
fn eighty_columns() {
    let (app, cargo) = over_a_root("build -j1");
    let terminal = cargo.in_terminal(80);
    assert!(terminal.raw.contains(" Building"), "{}", terminal.raw);
    assert_ui().eq(
        terminal.screen,
        str![[r#"
   Compiling slow v1.0.0
   Compiling other v1.0.0
   Compiling app v0.1.0 ([ROOT]/app)
    Finished `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 2 units reused from [ROOT]/root, 5 compiled
"#]],
    );
    let again = app
        .cargo("build")
        .plain()
        .roots([paths::root().join("root")]);
    assert_ui().eq(
        again.in_terminal(80).screen,
        str!["    Finished `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 2 units reused from [ROOT]/root, 0 compiled"],
    );
}

#[cargo_test]
fn eighty_columns_of_all_that_is_said() {
    let (_app, cargo) = over_a_root("build -j1 -v");
    let screen = cargo.in_terminal(80).screen;
    assert_ui().eq(
        lines_of(&screen, &["Reused", "Missed", "Finished"]),
        str![[r#"
      Missed other v1.0.0, slow v1.0.0: no root has these packages
      Reused leaf v1.0.0 from [ROOT]/root
      Reused mid v1.0.0 from [ROOT]/root
    Finished `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 2 units reused from [ROOT]/root, 5 compiled

"#]],
    );
}

#[cargo_test]
fn eighty_columns_of_an_explanation() {
    let (_app, cargo) = over_a_root("build --explain-reuse");
    assert_ui().eq(
        cargo.in_terminal(80).screen,
        str![[r#"
leaf v1.0.0                     reused from [ROOT]/root
mid v1.0.0                      reused from [ROOT]/root
slow v1.0.0 (build script)      compiled: no root has this package
slow v1.0.0 (build script run)  compiled: no root has this package
slow v1.0.0                     compiled: no root has this package
other v1.0.0                    compiled: no root has this package
app v0.1.0 (bin "app")          compiled, as it can't be in a root: a workspace member

2 units reused from [ROOT]/root
4 units to compile that could be in a root
  other v1.0.0, slow v1.0.0: no root has these packages
1 unit to compile that can't be
help: what to do about each reason is in cargo-roots(7)
"#]],
    );
}

/// Escape sequences, so that they can be read.
fn visible(text: &str) -> String {
    text.replace('\u{1b}', "^")
}

#[cargo_test]
fn colours() {
    let (app, cargo) = over_a_root("build --explain-reuse --color=always");
    let explained = cargo.run();
    let line = |start: &str| {
        let mut lines = explained.stdout.lines();
        visible(lines.rfind(|it| it.starts_with(start)).unwrap_or_default())
    };
    assert_ui().eq(
        line("leaf"),
        str!["leaf v1.0.0                     ^[1m^[92mreused^[0m from [ROOT]/root"],
    );
    assert_ui().eq(
        line("slow"),
        str!["slow v1.0.0                     ^[1m^[33mcompiled^[0m: no root has this package"],
    );
    assert_ui().eq(
        line("other"),
        str!["other v1.0.0                    ^[1m^[33mcompiled^[0m: no root has this package"],
    );

    let root = paths::root().join("root");
    let build = |line: &str| app.cargo(line).plain().roots([&root]).run();
    let first = build("build -v --color=always");
    let said = |word: &str| {
        let is_it = |line: &&str| line.contains(word);
        visible(first.stderr.lines().find(is_it).unwrap_or_default())
    };
    assert_ui().eq(
        said("Reused"),
        str!["^[1m^[92m      Reused^[0m leaf v1.0.0 from [ROOT]/root"],
    );
    assert_ui().eq(
        said("Missed"),
        str!["^[1m^[92m      Missed^[0m other v1.0.0, slow v1.0.0: no root has these packages"],
    );
    assert_ui().eq(said("Finished"), str!["^[1m^[92m    Finished^[0m `dev` profile [unoptimized + debuginfo] target(s) in [ELAPSED]s; 2 units reused from [ROOT]/root, 5 compiled"]);
    for line in ["build -v --color=never", "build --explain-reuse"] {
        let plain = build(line);
        let printed = [plain.stdout, plain.stderr].concat();
        assert!(!printed.contains('\u{1b}'), "{printed}");
    }
}

/// The root in the closing line can be followed, where terminals know links.
#[cargo_test]
fn links() {
    let root = chain_root("root");
    let app = app("app", CHAIN, CHAIN_MAIN);
    let build = |links: &str| {
        let cargo = app.cargo("build --color=always").plain().roots([&root]);
        let report = cargo.env("CARGO_TERM_HYPERLINKS", links).run();
        let closing = report.stderr.lines().last().unwrap_or_default().to_owned();
        closing.split_once("; ").unwrap().1.to_owned()
    };
    assert_ui().eq(
        visible(&build("true")),
        str!["2 units reused from ^]8;;file://[..][ROOT]/root[..]^/[ROOT]/root^]8;;^/, 1 compiled"],
    );
    assert!(!build("false").contains('\u{1b}'));
}

/// What a question gets: the answer, and nothing else.
#[cargo_test]
fn quiet_explanation() {
    let root = chain_root("root");
    let app = app("app", CHAIN, CHAIN_MAIN);
    let report = app
        .cargo("build --explain-reuse -q")
        .plain()
        .roots([&root])
        .run();
    assert_eq!(report.stderr, "");
    assert!(report.stdout.contains("2 units reused from "), "{report}");
}

/// What a shell offers after `words`.
fn offered(shell: &str, script: &str) -> Vec<String> {
    let output = Command::new(shell).args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

/// The file of upstream's that set-up has patched, for a shell.
fn completions(name: &str) -> String {
    let file = repository().join("vendor/cargo/src/etc").join(name);
    assert!(
        file.is_file(),
        "no `{}`: run `cargo xtask setup`",
        file.display()
    );
    file.display().to_string()
}

/// Commands, and whether `--explain-reuse` is one of their options.
const TAKE_IT: [(&str, bool); 6] = [
    ("build", true),
    ("b", true),
    ("test", true),
    ("rustdoc", true),
    ("fix", false),
    ("tree", false),
];

#[cargo_test]
fn completions_of_bash() {
    let file = completions("cargo.bashcomp.sh");
    for (command, takes_it) in TAKE_IT {
        // What bash-completion gives it.
        let script = format!(
            r#"
            _get_comp_words_by_ref() {{ cur=--; prev={command}; words=(cargo {command} --); cword=2; }}
            complete() {{ :; }}
            cargo() {{ :; }}
            . '{file}'
            _cargo
            echo "${{COMPREPLY[@]}}"
            "#
        );
        let offered = offered("bash", &script);
        assert!(offered.iter().any(|it| it == "--color"), "{offered:?}");
        let is_offered = offered.iter().any(|it| it == "--explain-reuse");
        assert_eq!(is_offered, takes_it, "{command}");
    }
}

#[cargo_test]
fn completions_of_zsh() {
    if Command::new("zsh").arg("--version").output().is_err() {
        skip!("there is no zsh");
    }
    let file = completions("_cargo");
    for (command, takes_it) in TAKE_IT {
        // `_arguments` goes to the state of a subcommand first, and then gets its options.
        let script = format!(
            r#"
            compdef() {{ :; }}
            words=(cargo {command} --)
            _arguments() {{
                if [[ "$*" == *'1: :_cargo_cmds'* ]]; then
                    state=args; words=({command} --)
                else
                    print -rl -- "$@"
                fi
            }}
            . '{file}'
            "#
        );
        let offered = offered("zsh", &script);
        let has = |option: &str| offered.iter().any(|it| it.starts_with(option));
        assert!(has("--color="), "{offered:?}");
        assert_eq!(has("--explain-reuse["), takes_it, "{command}");
    }
}

/// Those that Cargo itself answers. It offers what help doesn't have, if there is nothing else that fits.
#[cargo_test]
fn completions_of_cargo() {
    let answered = |words: &[&str]| {
        let index = (words.len() - 1).to_string();
        let output = Command::new(cargo_exe())
            .arg("--")
            .args(words)
            .env("CARGO_COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", index)
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_COMPLETE_SPACE", "false")
            .env("_CLAP_IFS", "\n")
            // They are not stable yet.
            .env("__CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS", "nightly")
            .current_dir(Path::new("/"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        answered(&["cargo", "build", "--explain-r"]),
        "--explain-reuse"
    );
    assert_eq!(answered(&["cargo", "tree", "--explain-r"]), "");
}
