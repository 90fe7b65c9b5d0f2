//! Choosing candidates that fit together.
//!
//! A unit can be taken only together with the very builds of its dependencies that it was made
//! against. Where several roots, or several variants in one root, have builds of the same key
//! that differ, taking the first one of each could leave most dependents without a match. So the
//! choice starts from the dependents: a unit that nothing else needs is taken with everything
//! below it, the largest such set first, and what remains is filled in where it agrees.

use std::collections::HashMap;

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
}

/// Chooses for each node one of its offers, or none, such that every chosen offer was made
/// against the offers that are chosen for its dependencies.
///
/// `nodes` is sorted topologically: dependencies come before their dependents.
pub fn select(nodes: &[Node<'_>]) -> Vec<Option<usize>> {
    let mut selection = Selection {
        sizes: closure_sizes(nodes),
        chosen: vec![None; nodes.len()],
        nodes,
    };
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    // The sort is stable, so that equal sets are taken in a fixed order.
    order.sort_by_key(|&node| {
        let size = selection.sizes[node].iter().flatten().max().copied();
        std::cmp::Reverse(size.unwrap_or(0))
    });
    // A unit that did not fit at its turn may do so once its dependencies were chosen for others.
    loop {
        let missing = order.len();
        order.retain(|&node| !selection.take_best(node));
        if order.len() == missing {
            return selection.chosen;
        }
    }
}

struct Selection<'a> {
    nodes: &'a [Node<'a>],
    sizes: Vec<Vec<Option<usize>>>,
    chosen: Vec<Option<usize>>,
}

impl Selection<'_> {
    /// Chooses the offer for `node` that brings most with it, unless one is chosen already.
    fn take_best(&mut self, node: usize) -> bool {
        if self.chosen[node].is_some() {
            return true;
        }
        let mut offers: Vec<usize> = (0..self.nodes[node].offers.len()).collect();
        offers.sort_by_key(|&offer| std::cmp::Reverse(self.sizes[node][offer]));
        offers.into_iter().any(|offer| {
            let mut trail = Vec::new();
            let taken = self.take(node, offer, &mut trail);
            if !taken {
                self.undo(trail);
            }
            taken
        })
    }

    fn undo(&mut self, trail: impl IntoIterator<Item = usize>) {
        for node in trail {
            self.chosen[node] = None;
        }
    }

    /// Chooses `offer` for `node`, and whatever it needs. On failure, what was chosen on the way
    /// is in `trail`.
    fn take(&mut self, node: usize, offer: usize, trail: &mut Vec<usize>) -> bool {
        let nodes = self.nodes;
        let this = &nodes[node].offers[offer];
        if let Some(chosen) = self.chosen[node] {
            return nodes[node].offers[chosen].identity == this.identity;
        }
        if self.sizes[node][offer].is_none() {
            return false;
        }
        self.chosen[node] = Some(offer);
        trail.push(node);
        let wanted = wanted(this);
        nodes[node].dependencies.iter().all(|&dependency| {
            let Some(&identity) = wanted.get(&nodes[dependency].key) else {
                return false;
            };
            if let Some(chosen) = self.chosen[dependency] {
                return nodes[dependency].offers[chosen].identity == identity;
            }
            (0..nodes[dependency].offers.len()).any(|offer| {
                if nodes[dependency].offers[offer].identity != identity {
                    return false;
                }
                let mark = trail.len();
                let taken = self.take(dependency, offer, trail);
                if !taken {
                    self.undo(trail.drain(mark..));
                }
                taken
            })
        })
    }
}

fn wanted(offer: &Offer<'_>) -> HashMap<Key, Digest> {
    offer
        .dependencies
        .iter()
        .map(|dependency| (dependency.key, dependency.identity))
        .collect()
}

/// For each offer, how much could be taken with it: itself and, for each dependency, what could
/// be taken with the matching offer. Units that are reached on several ways count several times,
/// which is good enough for an order. `None` if a dependency has no matching offer.
fn closure_sizes(nodes: &[Node<'_>]) -> Vec<Vec<Option<usize>>> {
    let mut sizes: Vec<Vec<Option<usize>>> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let of_offer = |offer: &Offer<'_>| {
            let wanted = wanted(offer);
            node.dependencies.iter().try_fold(1usize, |sum, &index| {
                let identity = wanted.get(&nodes[index].key)?;
                let size = nodes[index]
                    .offers
                    .iter()
                    .zip(&sizes[index])
                    .filter(|(offer, _)| offer.identity == *identity)
                    .filter_map(|(_, size)| *size)
                    .max()?;
                Some(sum.saturating_add(size))
            })
        };
        let of_node = node.offers.iter().map(of_offer).collect();
        sizes.push(of_node);
    }
    sizes
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

    fn identity(node: usize, build: usize) -> Digest {
        Digest::of_parts([format!("{node}"), format!("{build}")])
    }

    /// One build of a node: its own number, and the numbers of the dependencies' builds.
    type Build = (usize, Vec<usize>);

    #[derive(Debug)]
    struct Graph {
        dependencies: Vec<Vec<usize>>,
        builds: Vec<Vec<Build>>,
    }

    impl Graph {
        fn select(&self) -> Vec<Option<usize>> {
            let made_against: Vec<Vec<Vec<Dependency>>> = (self.dependencies.iter())
                .zip(&self.builds)
                .map(|(dependencies, builds)| {
                    let of_build = |(_, against): &Build| {
                        (dependencies.iter().zip(against))
                            .map(|(&node, &build)| Dependency {
                                key: key(node),
                                identity: identity(node, build),
                            })
                            .collect()
                    };
                    builds.iter().map(of_build).collect()
                })
                .collect();
            let nodes: Vec<Node<'_>> = (0..self.builds.len())
                .map(|node| Node {
                    key: key(node),
                    dependencies: self.dependencies[node].clone(),
                    offers: (self.builds[node].iter().zip(&made_against[node]))
                        .map(|((build, _), dependencies)| Offer {
                            identity: identity(node, *build),
                            dependencies,
                        })
                        .collect(),
                })
                .collect();
            select(&nodes)
        }

        fn is_closed(&self, chosen: &[Option<usize>]) -> bool {
            chosen.iter().enumerate().all(|(node, offer)| {
                let Some(offer) = *offer else { return true };
                let (_, against) = &self.builds[node][offer];
                (self.dependencies[node].iter().zip(against)).all(|(&dependency, &build)| {
                    chosen[dependency]
                        .is_some_and(|offer| self.builds[dependency][offer].0 == build)
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
                vec![(7, vec![1])],
                vec![(8, vec![7])],
            ],
        };
        assert_eq!(graph.select(), [Some(1), Some(0), Some(0)]);
    }

    #[test]
    fn a_dependent_without_its_dependency_is_not_taken() {
        let graph = Graph {
            dependencies: vec![vec![], vec![0]],
            builds: vec![vec![], vec![(0, vec![0])]],
        };
        assert_eq!(graph.select(), [None, None]);
    }

    #[test]
    fn of_two_that_disagree_the_larger_set_is_taken() {
        // 1 and 2 want build 0 of the leaf, 3 wants build 1.
        let graph = Graph {
            dependencies: vec![vec![], vec![0], vec![1], vec![0]],
            builds: vec![
                vec![(1, vec![]), (0, vec![])],
                vec![(0, vec![0])],
                vec![(0, vec![0])],
                vec![(0, vec![1])],
            ],
        };
        assert_eq!(graph.select(), [Some(1), Some(0), Some(0), None]);
    }

    fn graphs() -> impl Strategy<Value = Graph> {
        let node = (
            proptest::collection::vec(any::<proptest::sample::Index>(), 0..3),
            proptest::collection::vec((0..3usize, proptest::collection::vec(0..3usize, 3)), 0..4),
        );
        proptest::collection::vec(node, 1..12).prop_map(|raw| {
            let mut graph = Graph {
                dependencies: Vec::new(),
                builds: Vec::new(),
            };
            for (node, (edges, builds)) in raw.into_iter().enumerate() {
                let mut dependencies: Vec<usize> = match node {
                    0 => Vec::new(),
                    _ => edges.iter().map(|index| index.index(node)).collect(),
                };
                dependencies.sort_unstable();
                dependencies.dedup();
                graph.dependencies.push(dependencies);
                graph.builds.push(builds);
            }
            graph
        })
    }

    proptest! {
        #[test]
        fn selections_are_closed_and_maximal(graph in graphs()) {
            let chosen = graph.select();
            prop_assert!(graph.is_closed(&chosen));
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
