//! Values as one writes them in `routes.toml`, for diagnostics, explanations and logs.

use std::fmt;

use crate::config::{
    Claim, Condition, NodeLoss, NodeUrl, Scalar, Selector, Share, SocketKind, SocketMode, To,
};

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(method) = &self.method {
            write!(f, "{method} ")?;
        }
        write!(f, "{}", self.pattern)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = ", self.selector)?;
        for (number, value) in self.values.iter().enumerate() {
            write!(f, "{}{value}", if number == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pointer(pointer) if pointer.steps().is_empty() => f.write_str("\"\""),
            Self::Pointer(pointer) => pointer.fmt(f),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Jwt(claim) => write!(f, "jwt:{claim}"),
            Self::Address => f.write_str("address"),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bool(value) => write!(f, "{value}"),
        }
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tunnel => "tunnel",
            Self::Bridge => "bridge",
        })
    }
}

impl fmt::Display for SocketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SocketIo => "socket.io",
            Self::WebSocket => "websocket",
        })
    }
}

impl fmt::Display for NodeLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bounce => "bounce",
            Self::Resume => "resume",
            Self::Admit => "admit",
        })
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.pad("node"),
            Self::Native(Share(10_000)) => f.pad("native"),
            Self::Native(Share(share)) => f.pad(&format!("native {}%", f64::from(*share) / 100.0)),
            Self::NativeOnly => f.pad("native only"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Pattern;

    #[test]
    fn claims_are_written_as_in_the_file() {
        for text in ["/", "/a/{id}", "/{*rest}"] {
            let pattern = Pattern::parse(text).expect("a valid pattern");
            let claim = Claim {
                method: None,
                pattern,
                span: 0..0,
            };
            assert_eq!(claim.to_string(), text);
            let claim = Claim {
                method: Some(http::Method::PUT),
                ..claim
            };
            assert_eq!(claim.to_string(), format!("PUT {text}"));
        }
    }

    #[test]
    fn shares_are_written_without_needless_digits() {
        let written = [0, 25, 500, 10_000].map(|share| To::Native(Share(share)).to_string());
        assert_eq!(
            written,
            ["native 0%", "native 0.25%", "native 5%", "native"]
        );
    }
}
