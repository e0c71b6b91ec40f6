//! Patterns as a tree of segments. A search visits what matches in the order of precedence: at each segment from the
//! left a literal before `{param}` before `{*rest}`, and the end of a pattern before `{*rest}`.

use crate::config::{Pattern, Segment};
use crate::routing::pattern::{PlainPath, split};

/// Leaves of `T`, one for each shape of pattern: names of parameters and the case of literals make no difference.
#[derive(Debug)]
pub(crate) struct Tree<T> {
    nodes: Vec<Node<T>>,
    /// In `routes.toml` `{*rest}` may be empty, in axum it may not.
    rest_may_be_empty: bool,
}

#[derive(Debug)]
struct Node<T> {
    /// In lower case, sorted.
    literals: Vec<(Box<str>, usize)>,
    param: Option<usize>,
    /// Of patterns that end here.
    end: Vec<T>,
    /// Of patterns whose next segment is `{*rest}`.
    rest: Vec<T>,
}

impl<T> Tree<T> {
    pub(crate) fn new(rest_may_be_empty: bool) -> Self {
        Self {
            nodes: vec![Node::new()],
            rest_may_be_empty,
        }
    }

    /// The leaf of this pattern's shape, made if need be.
    pub(crate) fn leaf(&mut self, pattern: &Pattern) -> &mut Vec<T> {
        let mut at = 0;
        for segment in &pattern.segments {
            let next = self.nodes.len();
            let node = &mut self.nodes[at];
            at = match segment {
                Segment::Literal(literal) => {
                    let literal = literal.to_ascii_lowercase();
                    match node
                        .literals
                        .binary_search_by(|(known, _)| known.as_ref().cmp(&literal))
                    {
                        Ok(index) => node.literals[index].1,
                        Err(index) => {
                            node.literals.insert(index, (literal.into(), next));
                            next
                        }
                    }
                }
                Segment::Param(_) => *node.param.get_or_insert(next),
                Segment::Rest(_) => return &mut self.nodes[at].rest,
            };
            if at == next {
                self.nodes.push(Node::new());
            }
        }
        &mut self.nodes[at].end
    }

    /// All leaves that hold something, in no particular order.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = &[T]> {
        self.nodes
            .iter()
            .flat_map(|node| [node.end.as_slice(), node.rest.as_slice()])
            .filter(|leaf| !leaf.is_empty())
    }

    /// As `leaves`.
    pub(crate) fn leaves_mut(&mut self) -> impl Iterator<Item = &mut Vec<T>> {
        self.nodes
            .iter_mut()
            .flat_map(|node| [&mut node.end, &mut node.rest])
            .filter(|leaf| !leaf.is_empty())
    }

    /// Whether a pattern has this literal somewhere.
    pub(crate) fn has_literal(&self, literal: &str) -> bool {
        self.nodes.iter().any(|node| node.child(literal).is_some())
    }

    /// Offers the leaves that match, the most specific first, until one is taken.
    pub(crate) fn find<'t, R>(
        &'t self,
        path: PlainPath<'_>,
        mut take: impl FnMut(&'t [T]) -> Option<R>,
    ) -> Option<R> {
        self.visit(0, path.segments(), &mut take)
    }

    fn visit<'t, R>(
        &'t self,
        at: usize,
        segments: Option<&str>,
        take: &mut impl FnMut(&'t [T]) -> Option<R>,
    ) -> Option<R> {
        let node = &self.nodes[at];
        let mut offer = |leaf: &'t [T]| if leaf.is_empty() { None } else { take(leaf) };
        let Some(segments) = segments else {
            return offer(&node.end).or_else(|| {
                if self.rest_may_be_empty {
                    offer(&node.rest)
                } else {
                    None
                }
            });
        };
        let (first, left) = split(segments);
        if let Some(found) = node
            .child(first)
            .and_then(|child| self.visit(child, left, take))
        {
            return Some(found);
        }
        if let Some(found) = node.param.and_then(|child| self.visit(child, left, take)) {
            return Some(found);
        }
        if node.rest.is_empty() {
            None
        } else {
            take(&node.rest)
        }
    }
}

impl<T> Node<T> {
    fn new() -> Self {
        Self {
            literals: Vec::new(),
            param: None,
            end: Vec::new(),
            rest: Vec::new(),
        }
    }

    fn child(&self, segment: &str) -> Option<usize> {
        if self.literals.is_empty() {
            return None;
        }
        // Lower case on the stack makes the comparisons plain ones; longer segments are rare.
        let mut buffer = [0; 64];
        let found = match buffer.get_mut(..segment.len()) {
            Some(lower) => {
                lower.copy_from_slice(segment.as_bytes());
                lower.make_ascii_lowercase();
                self.literals
                    .binary_search_by(|(known, _)| known.as_bytes().cmp(lower))
            }
            None => {
                let lower = segment.to_ascii_lowercase();
                self.literals
                    .binary_search_by(|(known, _)| known.as_ref().cmp(&lower))
            }
        };
        found.ok().map(|index| self.literals[index].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(patterns: &[&str], path: &str, rest_may_be_empty: bool) -> Vec<String> {
        let mut tree = Tree::new(rest_may_be_empty);
        for pattern in patterns {
            tree.leaf(&Pattern::parse(pattern).unwrap())
                .push((*pattern).to_owned());
        }
        let mut seen = Vec::new();
        tree.find(PlainPath::new(path).unwrap(), |leaf| {
            seen.extend_from_slice(leaf);
            None::<()>
        });
        seen
    }

    #[test]
    fn the_most_specific_comes_first() {
        let patterns = [
            "/{*r}",
            "/a/{*r}",
            "/{x}/b",
            "/a/{y}",
            "/A/b",
            "/a/b/{*r}",
            "/{x}/{y}",
            "/{x}/{*r}",
            "/a",
        ];
        assert_eq!(
            order(&patterns, "/a/B", true),
            [
                "/A/b",
                "/a/b/{*r}",
                "/a/{y}",
                "/a/{*r}",
                "/{x}/b",
                "/{x}/{y}",
                "/{x}/{*r}",
                "/{*r}"
            ]
        );
    }

    #[test]
    fn rest_may_be_empty_or_not() {
        let patterns = ["/{*r}", "/a/{*r}", "/a"];
        assert_eq!(order(&patterns, "/a/", true), ["/a", "/a/{*r}", "/{*r}"]);
        assert_eq!(order(&patterns, "/a/", false), ["/a", "/{*r}"]);
        assert_eq!(order(&patterns, "/", true), ["/{*r}"]);
        assert!(order(&patterns, "/", false).is_empty());
    }

    #[test]
    fn long_literals_are_found() {
        let long = format!("/{}/b", "Abc".repeat(40));
        assert_eq!(
            order(&["/x/y", &long], &long.to_ascii_uppercase(), true),
            [long]
        );
    }

    #[test]
    fn shapes_share_a_leaf() {
        let mut tree = Tree::new(true);
        for pattern in ["/Api/{id}", "/aPI/{name}/"] {
            tree.leaf(&Pattern::parse(pattern).unwrap()).push(());
        }
        assert_eq!(tree.leaves().map(<[()]>::len).collect::<Vec<_>>(), [2]);
        assert!(tree.has_literal("API") && !tree.has_literal("id"));
    }
}
