//! What is drawn: packages, how roots were filled, and what is done afterwards.
//!
//! A [`Case`] is plain data that says everything; running it again does the same. Numbers in it are indexes, made valid
//! by [`Case::settle`] for whatever shrinking makes of them.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Variables that packages read: `VAR_0`, `VAR_1`.
pub(super) const VARS: usize = 2;
/// Files outside of all packages that build scripts watch.
pub(super) const FILES: usize = 2;
/// Search roots. The last one is a target directory of stock cargo.
pub(super) const ROOTS: usize = 3;
pub(super) const TARGET_DIR: usize = ROOTS - 1;
/// Where steps name a root and mean the deps dir.
pub(super) const DEPS_DIR: usize = ROOTS;

/// A sequence of steps over a graph of packages.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// Dependencies first. The last one is the project itself, `app`.
    pub(super) nodes: Vec<Node>,
    /// What was built by others before.
    pub(super) fills: Vec<Fill>,
    pub(super) steps: Vec<Step>,
}

/// A package.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) source: Source,
    /// Version 2 of the package before it, and not one of its own.
    pub(super) second: bool,
    pub(super) edges: Vec<Edge>,
    pub(super) script: Option<Script>,
    /// The variable that its library reads with `option_env!`.
    pub(super) reads: Option<usize>,
    /// The file outside of its package that its library includes.
    pub(super) includes: Option<usize>,
    /// Its library has `CARGO_MANIFEST_DIR` in it.
    pub(super) bakes_dir: bool,
    /// The feature `f1` is a default one.
    pub(super) default: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Lib,
    Macro,
    /// Expands to something else each time.
    UnstableMacro,
}

/// In the order in which they may depend on each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    Registry,
    Git,
    /// A member of the project's workspace.
    Member,
}

/// A dependency.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) to: usize,
    pub(super) table: Table,
    pub(super) features: Features,
    pub(super) default: bool,
    /// Optional, and enabled by this feature of the dependent.
    pub(super) optional: Option<u8>,
    /// The dependent's `f1` enables that of the dependency.
    pub(super) forward: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Table {
    Normal,
    ForBuild,
    ForDev,
}

/// `f0` is bit 0, `f1` bit 1.
pub(super) type Features = u8;

/// A build script.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// The variable that it watches.
    pub(super) var: Option<usize>,
    /// The file that it watches.
    pub(super) file: Option<usize>,
    /// How it tells the scripts of dependents what it found out.
    pub(super) links: Option<Links>,
    /// How it tells its own library.
    pub(super) tells: Tells,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Links {
    Text,
    /// The path of a file in `OUT_DIR`.
    Path,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tells {
    RustcEnv,
    Include,
    /// The library reads a file in `OUT_DIR` when the program runs.
    AtRunTime,
}

/// A build by another project into a root.
#[derive(Clone, Debug)]
pub(super) struct Fill {
    pub(super) root: usize,
    pub(super) how: How,
    pub(super) what: What,
    pub(super) vars: Vec<Option<u8>>,
    pub(super) flagged: bool,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// Another checkout of the project, with these features.
    App(Features),
    /// A project that depends on those packages whose bits are set, with these features.
    Other(u8, Features),
}

/// The commands that build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    Build,
    Release,
    /// With `--target`, so that what build scripts and macros need is built for itself.
    Target,
    Check,
    Test,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Builds with the drop-in.
    Cargo(How),
    /// The same while another project builds into the same deps dir.
    Beside(How, Fill),
    /// The same twice, the second time with the target directory removed.
    Anew(How),
    /// Fills the first root with a build of the very same, and builds from nothing with no other root.
    Refill(How),
    /// Builds with stock, in the same target directory.
    Stock(How),
    /// A build that is killed when it has compiled the library of a package, before cargo takes note.
    Killed(How, usize),
    Clean,
    Var(usize, Value),
    File(usize, u8),
    AppFeatures(Features),
    Flagged(bool),
    /// What `CARGO_SEARCH_PATH` names, in order.
    Search(Vec<usize>),
    Fill(Fill),
    /// To another path.
    Move(usize),
    Remove(usize),
    /// Replaces one root with a copy of another.
    Copy(usize, usize),
    /// Two roots change places.
    Exchange(usize, usize),
    /// Modification times of everything in it change.
    Retime(usize),
    /// Something is wrong with the unit of that number in a root.
    Damage(usize, usize, Wound),
    DepsDir(bool),
    RemoveDepsDir,
    MoveHome,
    /// The source of a member changes.
    Edit(usize),
    /// A new version is published or committed, and the project updates to it.
    Publish(usize),
    /// A package from the registry is replaced by a copy that is changed, or not any more.
    Patch(Option<usize>),
    /// The project has its dependencies vendored, or not.
    Vendor(bool),
    /// The vendored source of a package is changed, with its checksums. Nothing if it is not vendored.
    EditVendored(usize),
}

/// What a variable is set to, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Unset,
    Process(u8),
    Config(u8),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Wound {
    UnitGone,
    PackageGone,
    RecordGone,
    RecordCut,
    OutputGone(usize),
    OutputCut(usize),
}

impl Case {
    /// Makes indexes valid and takes away what would not be a valid project.
    fn settle(mut self, git: usize, members: usize) -> Case {
        let app = self.nodes.len() - 1;
        let in_registry = app.saturating_sub(git + members).max(app.min(2));
        for index in 0..=app {
            let previous = index.checked_sub(1).map(|previous| &self.nodes[previous]);
            let follows_first = previous.is_some_and(|node| !node.second);
            let node = &mut self.nodes[index];
            node.source = if index < in_registry {
                Source::Registry
            } else if index < app.saturating_sub(members).max(in_registry) {
                Source::Git
            } else {
                Source::Member
            };
            node.second &= follows_first && node.source == Source::Registry;
            if index == app {
                node.kind = Kind::Lib;
            }
            settle_edges(node, index, index == app);
        }
        for step in &mut self.steps {
            step.settle(&self.nodes);
        }
        self
    }

    /// The case as an expression that a test can be made of.
    pub(super) fn as_source(&self) -> String {
        format!("{self:#?}").replace('[', "vec![")
    }
}

fn settle_edges(node: &mut Node, index: usize, is_app: bool) {
    let mut seen = Vec::new();
    node.edges.retain_mut(|edge| {
        // Drawn as a distance, so that most of a graph stays as it is when it shrinks.
        let Some(to) = index.checked_sub(1) else {
            return false;
        };
        edge.to = to - edge.to % index;
        let is_allowed = match edge.table {
            Table::Normal => true,
            Table::ForBuild => node.script.is_some(),
            Table::ForDev => is_app,
        };
        if !is_allowed {
            edge.table = Table::Normal;
        }
        if edge.table != Table::Normal {
            edge.optional = None;
        }
        let is_new = !seen.contains(&edge.to);
        seen.push(edge.to);
        is_new
    });
}

impl Step {
    fn settle(&mut self, nodes: &[Node]) {
        let of_source = |wanted: fn(Source) -> bool, number: usize| {
            let all: Vec<usize> = (0..nodes.len())
                .filter(|node| wanted(nodes[*node].source))
                .collect();
            all[number % all.len()]
        };
        match self {
            Step::Edit(node) => *node = of_source(|source| source == Source::Member, *node),
            Step::Killed(_, node) => *node %= nodes.len(),
            Step::Patch(Some(node)) => {
                *node = of_source(|source| source == Source::Registry, *node);
            }
            Step::Publish(node) | Step::EditVendored(node) => {
                *node = of_source(|source| source != Source::Member, *node)
            }
            Step::Search(order) => {
                let mut seen = Vec::new();
                order.retain(|root| {
                    let is_new = !seen.contains(root);
                    seen.push(*root);
                    is_new
                });
            }
            _ => {}
        }
    }

    pub(super) fn builds(&self) -> bool {
        match self {
            Step::Cargo(_)
            | Step::Beside(..)
            | Step::Anew(_)
            | Step::Refill(_)
            | Step::Stock(_) => true,
            Step::Clean
            | Step::Var(..)
            | Step::File(..)
            | Step::AppFeatures(_)
            | Step::Flagged(_)
            | Step::Search(_)
            | Step::Fill(_)
            | Step::Move(_)
            | Step::Remove(_)
            | Step::Copy(..)
            | Step::Exchange(..)
            | Step::Retime(_)
            | Step::Damage(..)
            | Step::DepsDir(_)
            | Step::RemoveDepsDir
            | Step::MoveHome
            | Step::Edit(_)
            | Step::Publish(_)
            | Step::Patch(_)
            | Step::Vendor(_)
            | Step::EditVendored(_)
            | Step::Killed(..) => false,
        }
    }
}

/// The cases that are run.
pub(super) fn cases() -> impl Strategy<Value = Case> {
    let nodes = (vec(node(), 2..=6), app());
    let sources = (
        prop_oneof![3 => Just(0_usize), 1 => Just(1), 1 => Just(2)],
        prop_oneof![3 => Just(0_usize), 2 => Just(1)],
    );
    let fills = vec(fill(), 1..=3);
    let steps = vec((change(), option::weighted(0.6, build())), 2..=6);
    let steps = (option::weighted(0.6, build()), steps).prop_map(|(first, steps)| {
        let steps = steps.into_iter();
        let steps = steps.flat_map(|(change, build)| std::iter::once(change).chain(build));
        first.into_iter().chain(steps).collect()
    });
    (nodes, sources, fills, steps).prop_map(|((mut nodes, app), (git, members), fills, steps)| {
        nodes.push(app);
        let case = Case {
            nodes,
            fills,
            steps,
        };
        case.settle(git, members)
    })
}

fn node() -> impl Strategy<Value = Node> {
    let kind = prop_oneof![
        6 => Just(Kind::Lib),
        1 => Just(Kind::Macro),
        2 => Just(Kind::UnstableMacro),
    ];
    let scripts = option::weighted(0.35, script());
    let edges = vec(edge(), 0..=2);
    node_of(kind, edges, scripts)
}

fn app() -> impl Strategy<Value = Node> {
    let scripts = option::weighted(0.2, script());
    node_of(Just(Kind::Lib), vec(edge(), 2..=4), scripts)
}

fn node_of(
    kind: impl Strategy<Value = Kind>,
    edges: impl Strategy<Value = Vec<Edge>>,
    script: impl Strategy<Value = Option<Script>>,
) -> impl Strategy<Value = Node> {
    let flags = (weighted(0.15), weighted(0.08), weighted(0.3));
    let reads = (
        option::weighted(0.25, 0..VARS),
        option::weighted(0.1, 0..FILES),
    );
    (kind, edges, script, reads, flags).prop_map(
        |(kind, edges, script, (reads, includes), (second, bakes_dir, default))| Node {
            kind,
            source: Source::Registry,
            second,
            edges,
            script,
            reads,
            includes,
            bakes_dir,
            default,
        },
    )
}

fn edge() -> impl Strategy<Value = Edge> {
    let table = prop_oneof![
        5 => Just(Table::Normal),
        2 => Just(Table::ForBuild),
        1 => Just(Table::ForDev),
    ];
    let optional = option::weighted(0.2, 0..2_u8);
    (
        0..4_usize,
        table,
        features(),
        weighted(0.8),
        optional,
        weighted(0.15),
    )
        .prop_map(|(to, table, features, default, optional, forward)| Edge {
            to,
            table,
            features,
            default,
            optional,
            forward,
        })
}

fn script() -> impl Strategy<Value = Script> {
    let tells = prop_oneof![
        Just(Tells::RustcEnv),
        Just(Tells::Include),
        Just(Tells::AtRunTime)
    ];
    let var = option::weighted(0.5, 0..VARS);
    let file = option::weighted(0.2, 0..FILES);
    let links = prop_oneof![Just(Links::Text), Just(Links::Path)];
    (var, file, option::weighted(0.4, links), tells).prop_map(|(var, file, links, tells)| Script {
        var,
        file,
        links,
        tells,
    })
}

fn fill() -> impl Strategy<Value = Fill> {
    let what = prop_oneof![
        4 => features().prop_map(What::App),
        2 => (1..=255_u8, features()).prop_map(|(nodes, features)| What::Other(nodes, features)),
    ];
    let vars = vec(option::weighted(0.2, 0..2_u8), VARS);
    (0..ROOTS, how(), what, vars, weighted(0.05)).prop_map(|(root, how, what, vars, flagged)| {
        Fill {
            root,
            how,
            what,
            vars,
            flagged,
        }
    })
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        8 => Just(How::Build),
        1 => Just(How::Release),
        1 => Just(How::Target),
        1 => Just(How::Check),
        2 => Just(How::Test),
    ]
}

fn build() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => how().prop_map(Step::Cargo),
        1 => (how(), fill()).prop_map(|(how, fill)| Step::Beside(how, fill)),
        1 => how().prop_map(Step::Anew),
        1 => how().prop_map(Step::Refill),
        1 => how().prop_map(Step::Stock),
    ]
}

fn change() -> impl Strategy<Value = Step> {
    let root = || 0..ROOTS;
    let store = || 0..TARGET_DIR;
    let wound = prop_oneof![
        3 => Just(Wound::UnitGone),
        1 => Just(Wound::PackageGone),
        1 => Just(Wound::RecordGone),
        1 => Just(Wound::RecordCut),
        1 => (0..16_usize).prop_map(Wound::OutputGone),
        1 => (0..16_usize).prop_map(Wound::OutputCut),
    ];
    prop_oneof![
        1 => Just(Step::Clean),
        1 => (how(), 0..8_usize).prop_map(|(how, node)| Step::Killed(how, node)),
        2 => (0..VARS, value()).prop_map(|(var, value)| Step::Var(var, value)),
        1 => (0..FILES, 0..3_u8).prop_map(|(file, content)| Step::File(file, content)),
        1 => features().prop_map(Step::AppFeatures),
        1 => any::<bool>().prop_map(Step::Flagged),
        2 => vec(root(), 0..=ROOTS).prop_map(Step::Search),
        2 => fill().prop_map(Step::Fill),
        1 => root().prop_map(Step::Move),
        1 => root().prop_map(Step::Remove),
        1 => (prop_oneof![store(), Just(DEPS_DIR)], store())
            .prop_map(|(from, to)| Step::Copy(from, to)),
        1 => Just(Step::Exchange(0, 1)),
        1 => store().prop_map(Step::Retime),
        3 => (0..=DEPS_DIR, 0..32_usize, wound)
            .prop_map(|(root, unit, wound)| Step::Damage(root, unit, wound)),
        4 => weighted(0.75).prop_map(Step::DepsDir),
        1 => Just(Step::RemoveDepsDir),
        1 => Just(Step::MoveHome),
        1 => (0..8_usize).prop_map(Step::Edit),
        2 => (0..8_usize).prop_map(Step::Publish),
        1 => option::weighted(0.75, 0..8_usize).prop_map(Step::Patch),
        1 => weighted(0.75).prop_map(Step::Vendor),
        1 => (0..8_usize).prop_map(Step::EditVendored),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Unset),
        4 => (0..2_u8).prop_map(Value::Process),
        1 => (0..2_u8).prop_map(Value::Config),
    ]
}

fn features() -> impl Strategy<Value = Features> {
    prop_oneof![9 => Just(0), 1 => Just(1_u8), 1 => Just(2), 1 => Just(3)]
}

fn weighted(probability: f64) -> impl Strategy<Value = bool> {
    prop::bool::weighted(probability)
}
