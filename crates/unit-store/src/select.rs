//! Choosing candidates that fit together.
//!
//! A unit can be taken only together with the very builds of its dependencies that it was made
//! against. Where several roots, or several variants in one root, have builds of the same key
//! that differ, taking the first one of each could leave most dependents without a match. So the
//! choice starts from the dependents: a unit that nothing else needs is taken with everything
//! below it, the largest such set first, and what remains is filled in where it agrees.

use std::path::{Path, PathBuf};

use crate::{Dependency, Digest, Key};

/// A unit of the graph that is to be built.
#[derive(Debug)]
pub struct Node<'a> {
    /// The unit's key.
    pub key: Key,
    /// Indexes of its direct dependencies. An edge to a unit that can't be in a store at all makes
    /// the unit ineligible: pass no offers for it then.
    pub dependencies: Vec<usize>,
    /// Builds of the unit whose observed inputs hold, the preferred one first.
    pub offers: Vec<Offer<'a>>,
}

/// A build of a unit that could be taken.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// What dependents see of it.
    pub identity: Digest,
    /// What it was made against.
    pub dependencies: &'a [Dependency],
    /// Where it is, if dependents may have its path in them.
    pub place: Option<&'a Path>,
    /// Dependencies whose path it has in it.
    pub bound_to: &'a [(Key, PathBuf)],
}

/// Chooses for each node one of its offers, or none, such that every chosen offer was made
/// against the offers that are chosen for its dependencies.
///
/// `nodes` is sorted topologically: dependencies come before their dependents. Offers of one node
/// that have the same identity are taken for the same, unless a dependent is bound to the place of
/// one, and the first of them is chosen: an identity covers what the offer was made against.
pub fn select(nodes: &[Node<'_>]) -> Vec<Option<usize>> {
    let closures = closures(nodes);
    let mut order: Vec<(usize, usize)> = Vec::new();
    for (node, closures) in closures.iter().enumerate().rev() {
        order.extend(
            (closures.iter().enumerate())
                .filter(|(_, closure)| closure.is_some())
                .map(|(offer, _)| (node, offer)),
        );
    }
    // The sort is stable, so that equal sets are taken in a fixed order.
    order.sort_by_key(|&(node, offer)| {
        std::cmp::Reverse(closures[node][offer].as_ref().map(|closure| closure.size))
    });
    let mut chosen = vec![None; nodes.len()];
    for (node, offer) in order {
        if chosen[node].is_none() {
            take(nodes, &closures, &mut chosen, node, offer);
        }
    }
    (chosen.into_iter())
        .map(|choice| choice.map(|choice| choice.offer))
        .collect()
}

/// Whether `selection`, which [`select`] made of `nodes`, would be the same if their offers were the
/// first ones of more. A node without offers has no others either.
pub fn is_final(nodes: &[Node<'_>], selection: &[Option<usize>]) -> bool {
    nodes.iter().zip(selection).all(|(node, selected)| {
        // All offers of a node are of equal size, and of these the first is tried first. With another
        // one than that, what it lacks may be among the others.
        *selected == Some(0)
            || node.offers.is_empty()
            || (node.dependencies.iter()).any(|dependency| selection[*dependency].is_none())
    })
}

/// What has to be taken with an offer.
struct Closure {
    /// The matching offer for each dependency.
    direct: Vec<(usize, Choice)>,
    /// How much that is: the offer itself and the closures of its dependencies. Nodes that are
    /// reached on several ways count several times, which is good enough for an order.
    size: usize,
}

/// An offer of a node.
#[derive(Clone, Copy)]
struct Choice {
    offer: usize,
    /// Whether it has to be this very offer. Otherwise one with the same identity will do.
    is_bound: bool,
}

/// Chooses `offer` for `node` and whatever it needs, or nothing if that does not fit to what was
/// chosen before. As identities that were chosen are never taken back, it will not fit later
/// either.
fn take(
    nodes: &[Node<'_>],
    closures: &[Vec<Option<Closure>>],
    chosen: &mut [Option<Choice>],
    node: usize,
    offer: usize,
) {
    let first = Choice {
        offer,
        is_bound: false,
    };
    let mut trail = Vec::new();
    let mut stack = vec![(node, first)];
    while let Some((node, wanted)) = stack.pop() {
        let before = chosen[node];
        let is_same = |other: Choice| {
            let offers = &nodes[node].offers;
            offers[other.offer].identity == offers[wanted.offer].identity
        };
        match before {
            Some(other) if other.offer == wanted.offer => {
                let is_bound = other.is_bound || wanted.is_bound;
                chosen[node] = Some(Choice { is_bound, ..other });
                trail.push((node, before));
                continue;
            }
            Some(other) if is_same(other) && !wanted.is_bound => continue,
            Some(other) if !is_same(other) || other.is_bound => {
                for (node, before) in trail.into_iter().rev() {
                    chosen[node] = before;
                }
                return;
            }
            _ => {}
        }
        chosen[node] = Some(wanted);
        trail.push((node, before));
        // An offer without a closure is in no closure.
        let closure = closures[node][wanted.offer].iter();
        stack.extend(closure.flat_map(|closure| closure.direct.iter().copied()));
    }
}

/// The closure of each offer of each node, or `None` if a dependency has no matching offer, or if
/// an earlier offer has the same identity.
fn closures(nodes: &[Node<'_>]) -> Vec<Vec<Option<Closure>>> {
    let mut closures: Vec<Vec<Option<Closure>>> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let closure_of = |(index, offer): (usize, &Offer<'_>)| {
            let is_repeated = |earlier: &Offer<'_>| {
                earlier.identity == offer.identity && earlier.place == offer.place
            };
            if node.offers[..index].iter().any(is_repeated) {
                return None;
            }
            let mut closure = Closure {
                direct: Vec::with_capacity(node.dependencies.len()),
                size: 1,
            };
            for &dependency in &node.dependencies {
                // They are few.
                let wanted = (offer.dependencies.iter())
                    .find(|wanted| wanted.key == nodes[dependency].key)?;
                let place = (offer.bound_to.iter())
                    .find(|(key, _)| *key == nodes[dependency].key)
                    .map(|(_, place)| place.as_path());
                let offers = nodes[dependency].offers.iter().zip(&closures[dependency]);
                let (offer, size) = offers.enumerate().find_map(|(index, (offer, closure))| {
                    let is_it = offer.identity == wanted.identity
                        && place.is_none_or(|place| offer.place == Some(place));
                    Some((index, closure.as_ref().filter(|_| is_it)?.size))
                })?;
                let is_bound = place.is_some();
                (closure.direct).push((dependency, Choice { offer, is_bound }));
                closure.size = closure.size.saturating_add(size);
            }
            Some(closure)
        };
        let of_node = node.offers.iter().enumerate().map(closure_of).collect();
        closures.push(of_node);
    }
    closures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyBuilder;
    use proptest::prelude::*;

    fn key(node: usize) -> Key {
        let mut builder = KeyBuilder::new();
        builder.field("node", node);
        builder.key()
    }

    /// One build of a node: a number to tell it from others, and for each dependency which of its
    /// builds it was made against, or `None` if that one is gone.
    type Build = (usize, Vec<Option<usize>>);

    /// Where a build is.
    fn place(node: usize, build: usize) -> PathBuf {
        PathBuf::from(format!("{node}/{build}"))
    }

    #[derive(Debug)]
    struct Graph {
        dependencies: Vec<Vec<usize>>,
        builds: Vec<Vec<Build>>,
        /// Builds that have the paths of their dependencies in them.
        bound: Vec<(usize, usize)>,
    }

    impl Graph {
        /// As real ones do, identities cover what a build was made against.
        fn identity(&self, node: usize, build: usize) -> Digest {
            let (number, against) = &self.builds[node][build];
            let mut parts = vec![format!("{node} {number}")];
            for (&dependency, &build) in self.dependencies[node].iter().zip(against) {
                parts.push(self.wanted(dependency, build).to_string());
            }
            Digest::of_parts(parts)
        }

        fn wanted(&self, dependency: usize, build: Option<usize>) -> Digest {
            build.map_or_else(
                || Digest::of_bytes("gone"),
                |build| self.identity(dependency, build),
            )
        }

        fn select(&self) -> Vec<Option<usize>> {
            self.select_of(|_| usize::MAX).0
        }

        /// Selects where only so many builds of each node are known, and says whether that is final.
        fn select_of(&self, known: impl Fn(usize) -> usize) -> (Vec<Option<usize>>, bool) {
            let made_against = |node: usize, build: usize| -> Vec<Dependency> {
                (self.dependencies[node].iter())
                    .zip(&self.builds[node][build].1)
                    .map(|(&node, &build)| Dependency {
                        key: key(node),
                        identity: self.wanted(node, build),
                    })
                    .collect()
            };
            let all: Vec<Vec<_>> = (0..self.builds.len())
                .map(|node| {
                    let builds = 0..self.builds[node].len();
                    builds.map(|build| made_against(node, build)).collect()
                })
                .collect();
            let bound_to = |node: usize, build: usize| -> Vec<(Key, PathBuf)> {
                (self.dependencies[node].iter())
                    .zip(&self.builds[node][build].1)
                    .filter(|_| self.bound.contains(&(node, build)))
                    .filter_map(|(&node, &build)| Some((key(node), place(node, build?))))
                    .collect()
            };
            let extra: Vec<Vec<_>> = (0..self.builds.len())
                .map(|node| {
                    let builds = 0..self.builds[node].len();
                    let extra = builds.map(|build| (place(node, build), bound_to(node, build)));
                    extra.collect()
                })
                .collect();
            let nodes: Vec<Node<'_>> = (0..self.builds.len())
                .map(|node| Node {
                    key: key(node),
                    dependencies: self.dependencies[node].clone(),
                    offers: (all[node].iter().zip(&extra[node]).enumerate())
                        .take(known(node))
                        .map(|(build, (dependencies, (place, bound_to)))| Offer {
                            identity: self.identity(node, build),
                            dependencies,
                            place: Some(place),
                            bound_to,
                        })
                        .collect(),
                })
                .collect();
            let selection = select(&nodes);
            let is_final = is_final(&nodes, &selection);
            (selection, is_final)
        }

        fn is_closed(&self, chosen: &[Option<usize>]) -> bool {
            chosen.iter().enumerate().all(|(node, build)| {
                let Some(build) = *build else { return true };
                let (_, against) = &self.builds[node][build];
                let is_bound = self.bound.contains(&(node, build));
                (self.dependencies[node].iter().zip(against)).all(|(&dependency, &build)| {
                    let wanted = self.wanted(dependency, build);
                    chosen[dependency].is_some_and(|it| {
                        self.identity(dependency, it) == wanted && (!is_bound || build == Some(it))
                    })
                })
            })
        }
    }

    #[test]
    fn dependents_decide() {
        // Build 0 of the leaf comes first, but everything else was made against build 1.
        let graph = Graph {
            dependencies: vec![vec![], vec![0], vec![1]],
            builds: vec![
                vec![(0, vec![]), (1, vec![])],
                vec![(0, vec![Some(1)])],
                vec![(0, vec![Some(0)])],
            ],
            bound: vec![],
        };
        assert_eq!(graph.select(), [Some(1), Some(0), Some(0)]);
    }

    #[test]
    fn who_is_bound_to_a_place_gets_it() {
        // The leaf is in two places. One of the two above it is bound to the second.
        let mut graph = Graph {
            dependencies: vec![vec![], vec![0], vec![0], vec![1, 2]],
            builds: vec![
                vec![(0, vec![]), (0, vec![])],
                vec![(0, vec![Some(0)])],
                vec![(0, vec![Some(1)])],
                vec![(0, vec![Some(0), Some(0)])],
            ],
            bound: vec![],
        };
        assert_eq!(graph.select(), [Some(0), Some(0), Some(0), Some(0)]);
        for bound in [1, 2] {
            graph.bound = vec![(bound, 0)];
            let leaf = Some(bound - 1);
            assert_eq!(graph.select(), [leaf, Some(0), Some(0), Some(0)]);
        }
        // To one place each.
        graph.bound = vec![(1, 0), (2, 0)];
        assert_eq!(graph.select().iter().flatten().count(), 2);
    }

    #[test]
    fn a_dependent_without_its_dependency_is_not_taken() {
        let graph = Graph {
            dependencies: vec![vec![], vec![0]],
            builds: vec![vec![], vec![(0, vec![None])]],
            bound: vec![],
        };
        assert_eq!(graph.select(), [None, None]);
    }

    #[test]
    fn of_two_that_disagree_the_larger_set_is_taken() {
        // 1 and 2 want build 1 of the leaf, 3 wants build 0.
        let graph = Graph {
            dependencies: vec![vec![], vec![0], vec![1], vec![0]],
            builds: vec![
                vec![(1, vec![]), (0, vec![])],
                vec![(0, vec![Some(1)])],
                vec![(0, vec![Some(0)])],
                vec![(0, vec![Some(0)])],
            ],
            bound: vec![],
        };
        assert_eq!(graph.select(), [Some(1), Some(0), Some(0), None]);
    }

    #[test]
    fn many_copies_of_deep_graphs_that_disagree_take_no_time() {
        // Two chains over one leaf of which there are two builds, each in many copies.
        let depth = 40;
        let copies = |build: usize| (0..6).map(move |_| (0, vec![Some(build)]));
        let mut graph = Graph {
            dependencies: vec![vec![]],
            builds: vec![vec![(0, vec![]), (1, vec![])]],
            bound: vec![],
        };
        for (leaf, start) in [(0, 1), (1, 1 + depth)] {
            for node in start..start + depth {
                let below = if node == start { 0 } else { node - 1 };
                let build = if node == start { leaf } else { 0 };
                graph.dependencies.push(vec![below]);
                graph.builds.push(copies(build).collect());
            }
        }
        let taken = graph.select().iter().flatten().count();
        assert_eq!(taken, 1 + depth);
    }

    fn graphs() -> impl Strategy<Value = Graph> {
        let build = (
            0..2usize,
            proptest::bool::weighted(0.2),
            proptest::collection::vec(
                proptest::option::weighted(0.9, any::<proptest::sample::Index>()),
                3,
            ),
        );
        let node = (
            proptest::collection::vec(any::<proptest::sample::Index>(), 0..4),
            proptest::collection::vec(build, 0..5),
        );
        proptest::collection::vec(node, 1..12).prop_map(|raw| {
            let mut graph = Graph {
                dependencies: Vec::new(),
                builds: Vec::new(),
                bound: Vec::new(),
            };
            for (node, (edges, builds)) in raw.into_iter().enumerate() {
                let mut dependencies: Vec<usize> = match node {
                    0 => Vec::new(),
                    _ => edges.iter().map(|index| index.index(node)).collect(),
                };
                dependencies.sort_unstable();
                dependencies.dedup();
                let bound = (builds.iter().enumerate()).filter(|(_, (_, bound, _))| *bound);
                graph.bound.extend(bound.map(|(build, _)| (node, build)));
                let builds = (builds.into_iter())
                    .map(|(number, _, against)| {
                        let against = dependencies.iter().zip(against);
                        let against = against.map(|(&dependency, index)| {
                            let count = graph.builds[dependency].len();
                            index.filter(|_| count > 0).map(|index| index.index(count))
                        });
                        (number, against.collect())
                    })
                    .collect();
                graph.dependencies.push(dependencies);
                graph.builds.push(builds);
            }
            graph
        })
    }

    proptest! {
        #[test]
        fn what_is_final_stays(graph in graphs(), counts in proptest::collection::vec(1..4usize, 12)) {
            let (chosen, is_final) = graph.select_of(|node| counts[node]);
            if is_final {
                prop_assert_eq!(chosen, graph.select());
            }
        }

        #[test]
        fn selections_are_closed_and_maximal(mut graph in graphs()) {
            let chosen = graph.select();
            prop_assert!(graph.is_closed(&chosen));
            // Of builds that are the same but for their places, one is tried.
            graph.bound.clear();
            let chosen = graph.select();
            for node in 0..chosen.len() {
                if chosen[node].is_some() {
                    continue;
                }
                for offer in 0..graph.builds[node].len() {
                    let mut more = chosen.clone();
                    more[node] = Some(offer);
                    prop_assert!(!graph.is_closed(&more), "{node} could have been taken");
                }
            }
        }
    }
}
