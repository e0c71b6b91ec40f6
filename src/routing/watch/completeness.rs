//! Tells a content that was written in one go from one whose second half may be still to come.

/// Whether nothing stands in it.
pub(crate) fn is_blank(content: &[u8]) -> bool {
    content.trim_ascii().is_empty()
}

/// Whether a content that was written in place looks complete beside the last one that was. A half-written file
/// lacks its end, so it is complete if it ends as the old one did, or if it has the same lines with other values,
/// the last one included. Every flip is of the second kind, each edit far from the end of the first.
pub(crate) fn looks_complete(old: &[u8], new: &[u8]) -> bool {
    let ends_in_line = new.ends_with(b"\n") || !old.ends_with(b"\n");
    ends_in_line && (have_same_keys(old, new) || end_alike(old, new))
}

/// Line by line the same text up to the first `=`, or the same text.
fn have_same_keys(old: &[u8], new: &[u8]) -> bool {
    let key = |line: &[u8]| match line.iter().position(|byte| *byte == b'=') {
        Some(end) => line[..end].trim_ascii().to_vec(),
        None => line.trim_ascii().to_vec(),
    };
    lines(old).map(key).eq(lines(new).map(key))
}

/// The last line may stand in many places (`to = "native"`), so the end begins at the last line that the old content
/// has only once.
fn end_alike(old: &[u8], new: &[u8]) -> bool {
    let old: Vec<&[u8]> = lines(old).collect();
    let is_unique = |line: &&[u8]| old.iter().filter(|other| *other == line).count() == 1;
    let Some(begin) = old.iter().rposition(is_unique) else {
        return false;
    };
    let new: Vec<&[u8]> = lines(new).collect();
    new.ends_with(&old[begin..])
}

/// Those that are not blank.
fn lines(content: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    content
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "\
        # force = \"node\"\n\
        [rule.a]\nhttp = [\"/a\"]\nto = \"native\"\n\n\
        [rule.b]\nhttp = [\"/b\"]\nto = \"native\"\n\n\
        [rule.c]\nhttp = [\"/c\"]\nto = \"native\"\n";

    fn complete(old: &str, new: &str) -> bool {
        looks_complete(old.as_bytes(), new.as_bytes())
    }

    #[test]
    fn flips_and_edits_are_complete() {
        let edits = [
            OLD.replace("native", "native 5%"),
            OLD.replace("[\"/c\"]\nto = \"native\"", "[\"/c\"]\nto = \"node\""),
            OLD.replace("# force", "force"),
            format!("force = \"node\"\n{OLD}"),
            OLD.replace("[rule.a]\nhttp = [\"/a\"]\nto = \"native\"\n\n", ""),
            OLD.replace(
                "[rule.b]",
                "[rule.x]\nhttp = [\"/x\"]\nto = \"node\"\n\n[rule.b]",
            ),
            format!("{OLD}\n\n"),
        ];
        for edit in edits {
            assert!(complete(OLD, &edit), "{edit}");
        }
    }

    #[test]
    fn every_first_part_of_an_edit_is_suspected() {
        let longer = OLD.replace(
            "[rule.b]",
            "[rule.x]\nhttp = [\"/x\"]\nto = \"node\"\n\n[rule.b]",
        );
        let ended = OLD.replace("rule.c", "rule.z").replace("/c", "/z");
        let other = ended + "[rule.d]\nto = \"native\"\n";
        for edit in [OLD.replace("native", "node"), longer, other] {
            assert_ne!(edit, OLD);
            let last_line = edit.trim_end().len();
            for end in 0..last_line {
                assert!(!complete(OLD, &edit[..end]), "{}", &edit[..end]);
            }
        }
    }

    #[test]
    fn nothing_is_compared_with_nothing() {
        assert!(!complete("", "[rule.a]\n"));
        assert!(!complete(OLD, ""));
        assert!(is_blank(b" \n") && !is_blank(b"x"));
    }
}
