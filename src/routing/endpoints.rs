//! What the native application serves, found as axum would find it, and spelled as axum must be given it.

use http::Method;

use crate::config::diagnostic::{Code, Diagnostic};
use crate::config::{Pattern, Segment};
use crate::routing::NativeSide;
use crate::routing::pattern::{PlainPath, split};
use crate::routing::tree::Tree;

/// All native endpoints, in axum's order of precedence, which is that of rules.
#[derive(Debug)]
pub(crate) struct Endpoints(Tree<Served>);

/// A native endpoint.
#[derive(Debug)]
pub(crate) struct Served {
    method: Method,
    pub(crate) spelling: Spelling,
}

impl Endpoints {
    /// What cannot be matched is left out, with a warning.
    pub(crate) fn new(native: Option<NativeSide<'_>>, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut tree = Tree::new(false);
        for endpoint in native.map_or(&[][..], |native| native.endpoints) {
            match Pattern::parse(&endpoint.path) {
                Ok(pattern) => {
                    let spelling = Spelling::new(pattern.clone(), &endpoint.path);
                    tree.leaf(&pattern).push(Served {
                        method: endpoint.method.clone(),
                        spelling,
                    });
                }
                Err(problem) => {
                    let message =
                        format!("no rule can reach the native endpoint `{}`", endpoint.path);
                    diagnostics.push(
                        Diagnostic::warning(Code::Unserved, message).help(problem.to_string()),
                    );
                }
            }
        }
        Self(tree)
    }

    /// What axum would call. It chooses by path alone first, so that a path hides the methods of less specific ones.
    pub(crate) fn find(&self, path: PlainPath<'_>, method: &Method) -> Option<&Served> {
        let on_path = self.0.find(path, Some)?;
        let own = on_path.iter().find(|served| served.method == *method);
        own.or_else(|| on_path.iter().find(|served| serves(&served.method, method)))
    }
}

/// GET includes HEAD, in Express as in axum.
pub(crate) fn serves(own: &Method, method: &Method) -> bool {
    own == method || (own == Method::GET && method == Method::HEAD)
}

/// The path of a native endpoint as axum must be given it: axum compares case and trailing slash, clients of Express
/// need not.
#[derive(Debug, Clone)]
pub(crate) struct Spelling {
    segments: Vec<Segment>,
    trailing_slash: bool,
}

impl Spelling {
    /// `text` is the axum path that `pattern` was parsed from.
    pub(crate) fn new(pattern: Pattern, text: &str) -> Self {
        Self {
            trailing_slash: text.len() > 1 && text.ends_with('/'),
            segments: pattern.segments,
        }
    }

    /// Literals in this spelling, parameters raw; `None` where the path is spelled so already. The path must match.
    pub(crate) fn apply(&self, path: PlainPath<'_>) -> Option<String> {
        // What `{*rest}` takes is part of a parameter, with its trailing slash, in Express as in axum.
        let ends_in_rest = matches!(self.segments.last(), Some(Segment::Rest(_)));
        let trailing_slash = if ends_in_rest {
            path.trailing_slash
        } else {
            self.trailing_slash
        };
        let same = trailing_slash == path.trailing_slash || path.segments().is_none();
        if same && self.pieces(path).all(|(spelled, raw)| spelled == raw) {
            return None;
        }
        let mut spelled = String::with_capacity(path.segments().map_or(0, str::len) + 2);
        for (piece, _) in self.pieces(path) {
            spelled.push('/');
            spelled.push_str(piece);
        }
        if trailing_slash || spelled.is_empty() {
            spelled.push('/');
        }
        Some(spelled)
    }

    /// Each segment as spelled here and as it came; `{*rest}` is one piece.
    fn pieces<'p>(&'p self, path: PlainPath<'p>) -> impl Iterator<Item = (&'p str, &'p str)> {
        let mut left = path.segments();
        self.segments.iter().map_while(move |segment| {
            let all = left?;
            let (raw, rest) = if matches!(segment, Segment::Rest(_)) {
                (all, None)
            } else {
                split(all)
            };
            left = rest;
            Some(match segment {
                Segment::Literal(literal) => (literal.as_str(), raw),
                Segment::Param(_) | Segment::Rest(_) => (raw, raw),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(endpoint: &str, path: &str) -> Option<String> {
        Spelling::new(Pattern::parse(endpoint).unwrap(), endpoint)
            .apply(PlainPath::new(path).unwrap())
    }

    #[test]
    fn axum_gets_the_spelling_of_the_endpoint() {
        assert_eq!(spelled("/api/driver/{id}", "/api/driver/7"), None);
        assert_eq!(
            spelled("/api/driver/{id}", "/API/Driver/aB%2f/"),
            Some("/api/driver/aB%2f".to_owned())
        );
        assert_eq!(spelled("/Old/{id}/", "/old/7"), Some("/Old/7/".to_owned()));
        assert_eq!(spelled("/Old/{id}/", "/Old/7/"), None);
        assert_eq!(spelled("/", "/"), None);
        assert_eq!(spelled("/files/{*path}", "/files/a/B/"), None);
        assert_eq!(
            spelled("/files/{*path}", "/FILES/a/B/"),
            Some("/files/a/B/".to_owned())
        );
    }
}
