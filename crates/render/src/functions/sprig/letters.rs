//! What Sprig does to the letters of a text.

use gotemplate::{Value, print::LONGEST};

/// Changes the first letter of each word; a word begins after what is no letter, or only after blanks.
pub(super) fn words(text: &str, after_any: bool, change: fn(char) -> Option<char>) -> String {
    let mut begins = true;
    let one = |c: char| {
        let changed = if begins { change(c).unwrap_or(c) } else { c };
        begins = if after_any { !(c.is_alphanumeric() || c == '_') } else { c.is_whitespace() };
        changed
    };
    text.chars().map(one).collect()
}

/// Small letters for capitals, and capitals for small ones.
pub(super) fn swapped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_uppercase() {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
    }
    out
}

/// So many letters from the offset on, with dots for what is left out.
pub(super) fn abbreviated(text: &str, offset: i64, width: i64) -> String {
    let letters: Vec<char> = text.chars().collect();
    let size = letters.len() as i64;
    if width < 4 || (offset > 0 && width < 7) || size <= width {
        return text.to_owned();
    }
    let mut offset = offset.min(size);
    if size - offset < width - 3 {
        offset = size - (width - 3);
    }
    let part = |from: i64, to: i64| letters[from as usize..to as usize].iter().collect::<String>();
    if offset <= 4 {
        return format!("{}...", part(0, width - 3));
    }
    if offset + width - 3 < size {
        let rest: String = letters[offset as usize..].iter().collect();
        return format!("...{}", abbreviated(&rest, 0, width - 3));
    }
    format!("...{}", part(size - (width - 3), size))
}

/// Another order, which depends on nothing but the text.
pub(super) fn shuffled(text: &str) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let mut state = letters
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |n, c| (n ^ u64::from(*c as u32)).wrapping_mul(0x100_0000_01b3));
    for n in (1..letters.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        letters.swap(n, (state >> 33) as usize % (n + 1));
    }
    letters.into_iter().collect()
}

/// Lines of so many letters, which end at a blank where there is one; a word that is longer is broken, or not.
pub(super) fn wrapped(text: &str, width: i64, separator: &str, breaks: bool) -> Result<Value, String> {
    let width = usize::try_from(width).unwrap_or(0).max(1);
    if text.len() + (text.len() / width).saturating_mul(separator.len()) > LONGEST {
        return Err("the text grew beyond 16 MiB and was stopped".into());
    }
    let letters: Vec<char> = text.chars().collect();
    let (mut out, mut at) = (String::new(), 0);
    while letters.len() - at > width {
        if letters[at] == ' ' {
            at += 1;
            continue;
        }
        let end = at + width;
        let blank = (at..=end).rev().find(|&n| letters[n] == ' ');
        let stop = match blank {
            Some(blank) if blank >= at => blank,
            _ if breaks => {
                out.extend(&letters[at..end]);
                out.push_str(separator);
                at = end;
                continue;
            }
            _ => match (end..letters.len()).find(|&n| letters[n] == ' ') {
                Some(blank) => blank,
                None => break,
            },
        };
        out.extend(&letters[at..stop]);
        out.push_str(separator);
        at = stop + 1;
    }
    out.extend(&letters[at..]);
    Ok(out.into())
}
