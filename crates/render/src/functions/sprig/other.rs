//! Sprig's other functions: choices, kinds, paths, encodings, hashes, URLs, versions.

use super::{codes, int, paths, same, span, url};
use crate::functions::{
    Function, at, convert::parse_json, hash::hex, json, json::Style, open_row, row, semver, text_at,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use gotemplate::{Type, Value, types::DICT};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

const T: Type = Type::Str;
const B: Type = Type::Bool;
const ANY: Type = Type::Any;

pub(super) const TABLE: &[Function] = &[
    open_row(
        "sprig_default",
        (&[ANY], ANY),
        ANY,
        "the second, or the first when that is empty",
        (r#"{{ "" | sprig_default "d" }}"#, "d"),
        |_, a| Ok(a.get(1).filter(|value| value.truth()).unwrap_or(at(a, 0)).clone()),
    ),
    row("sprig_empty", &[ANY], B, "whether it is empty", (r#"{{ sprig_empty 0 }}"#, "true"), |_, a| {
        Ok((!at(a, 0).truth()).into())
    }),
    open_row(
        "sprig_coalesce",
        (&[], ANY),
        ANY,
        "the first that is not empty",
        (r#"{{ sprig_coalesce 0 "" "a" }}"#, "a"),
        |_, a| Ok(a.iter().find(|value| value.truth()).cloned().unwrap_or(Value::Nil)),
    ),
    open_row(
        "sprig_all",
        (&[], ANY),
        B,
        "whether none is empty",
        (r#"{{ sprig_all 1 "" }}"#, "false"),
        |_, a| Ok(a.iter().all(Value::truth).into()),
    ),
    open_row(
        "sprig_any",
        (&[], ANY),
        B,
        "whether one is not empty",
        (r#"{{ sprig_any 1 "" }}"#, "true"),
        |_, a| Ok(a.iter().any(Value::truth).into()),
    ),
    row(
        "sprig_ternary",
        &[ANY, ANY, B],
        ANY,
        "the first if true, else the second",
        (r#"{{ sprig_ternary "a" "b" true }}"#, "a"),
        |_, a| Ok(at(a, usize::from(!at(a, 2).truth())).clone()),
    ),
    row(
        "sprig_fail",
        &[T],
        T,
        "an error with this text",
        (r#"{{ if false }}{{ sprig_fail "why" }}{{ end }}"#, ""),
        |_, a| Err(text_at(a, 0).to_owned()),
    ),
    row(
        "sprig_fromJson",
        &[T],
        ANY,
        "what a JSON text says; nothing for what is none",
        (r#"{{ (sprig_fromJson "{\"x\":1}").x }}"#, "1"),
        |_, a| {
            Ok(if text_at(a, 0).is_empty() {
                Value::Nil
            } else {
                parse_json(text_at(a, 0)).unwrap_or(Value::Nil)
            })
        },
    ),
    row(
        "sprig_mustFromJson",
        &[T],
        ANY,
        "the same; an error for what is none",
        (r#"{{ (sprig_mustFromJson "{\"x\":1}").x }}"#, "1"),
        |_, a| {
            if text_at(a, 0).is_empty() {
                Err("unexpected end of JSON input".into())
            } else {
                parse_json(text_at(a, 0))
            }
        },
    ),
    row(
        "sprig_toJson",
        &[ANY],
        T,
        "as JSON",
        (r#"{{ sprig_toJson (sprig_dict "a" 1) }}"#, r#"{"a":1}"#),
        |_, a| Ok(written(a, false, true).unwrap_or_default().into()),
    ),
    row("sprig_mustToJson", &[ANY], T, "the same", (r#"{{ sprig_mustToJson "a" }}"#, "\"a\""), |_, a| {
        written(a, false, true).map(Value::from)
    }),
    row(
        "sprig_toPrettyJson",
        &[ANY],
        T,
        "as JSON, indented",
        (r#"{{ sprig_toPrettyJson (sprig_list 1) }}"#, "[\n  1\n]"),
        |_, a| Ok(written(a, true, true).unwrap_or_default().into()),
    ),
    row(
        "sprig_mustToPrettyJson",
        &[ANY],
        T,
        "the same",
        (r#"{{ sprig_mustToPrettyJson (sprig_list 1) }}"#, "[\n  1\n]"),
        |_, a| written(a, true, true).map(Value::from),
    ),
    row(
        "sprig_toRawJson",
        &[ANY],
        T,
        "as JSON in which `<`, `>` and `&` stay",
        (r#"{{ sprig_toRawJson "<" }}"#, "\"<\""),
        |_, a| written(a, false, false).map(Value::from),
    ),
    row(
        "sprig_mustToRawJson",
        &[ANY],
        T,
        "the same",
        (r#"{{ sprig_mustToRawJson "<" }}"#, "\"<\""),
        |_, a| written(a, false, false).map(Value::from),
    ),
    row("sprig_typeOf", &[ANY], T, "Go's name of its type", (r#"{{ sprig_typeOf 1 }}"#, "int"), |_, a| {
        Ok(at(a, 0).kind_name().into())
    }),
    row(
        "sprig_typeIs",
        &[T, ANY],
        B,
        "whether that is its type",
        (r#"{{ sprig_typeIs "int" 1 }}"#, "true"),
        |_, a| Ok((at(a, 1).kind_name() == text_at(a, 0)).into()),
    ),
    row(
        "sprig_typeIsLike",
        &[T, ANY],
        B,
        "the same, pointers too",
        (r#"{{ sprig_typeIsLike "int" 1 }}"#, "true"),
        |_, a| {
            let name = at(a, 1).kind_name();
            Ok((name == text_at(a, 0) || name == format!("*{}", text_at(a, 0))).into())
        },
    ),
    row(
        "sprig_kindOf",
        &[ANY],
        T,
        "what sort of value it is",
        (r#"{{ sprig_kindOf (sprig_list) }}"#, "slice"),
        |_, a| Ok(kind(at(a, 0)).into()),
    ),
    row(
        "sprig_kindIs",
        &[T, ANY],
        B,
        "whether it is of that sort",
        (r#"{{ sprig_kindIs "int" 1 }}"#, "true"),
        |_, a| Ok((kind(at(a, 1)) == text_at(a, 0)).into()),
    ),
    row(
        "sprig_deepEqual",
        &[ANY, ANY],
        B,
        "whether two values are the same",
        (r#"{{ sprig_deepEqual (sprig_list 1) (sprig_list 1) }}"#, "true"),
        |_, a| Ok(same(at(a, 0), at(a, 1)).into()),
    ),
    row("sprig_base", &[T], T, "the last part of a path", (r#"{{ sprig_base "/a/b.c" }}"#, "b.c"), |_, a| {
        Ok(paths::base(text_at(a, 0)).into())
    }),
    row(
        "sprig_dir",
        &[T],
        T,
        "all but the last part of a path",
        (r#"{{ sprig_dir "/a/b" }}"#, "/a"),
        |_, a| Ok(paths::dir(text_at(a, 0)).into()),
    ),
    row(
        "sprig_clean",
        &[T],
        T,
        "a path in its shortest form",
        (r#"{{ sprig_clean "a//b/../c" }}"#, "a/c"),
        |_, a| Ok(paths::clean(text_at(a, 0)).into()),
    ),
    row("sprig_ext", &[T], T, "what a file's name ends with", (r#"{{ sprig_ext "x.y" }}"#, ".y"), |_, a| {
        Ok(paths::ext(text_at(a, 0)).into())
    }),
    row(
        "sprig_isAbs",
        &[T],
        B,
        "whether a path begins at the root",
        (r#"{{ sprig_isAbs "/a" }}"#, "true"),
        |_, a| Ok(text_at(a, 0).starts_with('/').into()),
    ),
    row("sprig_osBase", &[T], T, "the last part of a path", (r#"{{ sprig_osBase "/a/b" }}"#, "b"), |_, a| {
        Ok(paths::base(text_at(a, 0)).into())
    }),
    row(
        "sprig_osDir",
        &[T],
        T,
        "all but the last part of a path",
        (r#"{{ sprig_osDir "/a/b" }}"#, "/a"),
        |_, a| Ok(paths::dir(text_at(a, 0)).into()),
    ),
    row(
        "sprig_osClean",
        &[T],
        T,
        "a path in its shortest form",
        (r#"{{ sprig_osClean "a/./b" }}"#, "a/b"),
        |_, a| Ok(paths::clean(text_at(a, 0)).into()),
    ),
    row(
        "sprig_osExt",
        &[T],
        T,
        "what a file's name ends with",
        (r#"{{ sprig_osExt "x.y" }}"#, ".y"),
        |_, a| Ok(paths::ext(text_at(a, 0)).into()),
    ),
    row(
        "sprig_osIsAbs",
        &[T],
        B,
        "whether a path begins at the root",
        (r#"{{ sprig_osIsAbs "a" }}"#, "false"),
        |_, a| Ok(text_at(a, 0).starts_with('/').into()),
    ),
    row("sprig_b64enc", &[T], T, "in base64", (r#"{{ sprig_b64enc "a" }}"#, "YQ=="), |_, a| {
        Ok(BASE64_STANDARD.encode(octets::bytes(text_at(a, 0))).into())
    }),
    row("sprig_b64dec", &[T], T, "out of base64", (r#"{{ sprig_b64dec "YQ==" }}"#, "a"), |_, a| {
        Ok(match BASE64_STANDARD.decode(text_at(a, 0)) {
            Ok(bytes) => octets::text(&bytes).into(),
            Err(_) => "illegal base64 data at input byte 0".into(),
        })
    }),
    row("sprig_b32enc", &[T], T, "in base32", (r#"{{ sprig_b32enc "a" }}"#, "ME======"), |_, a| {
        Ok(codes::base32(&octets::bytes(text_at(a, 0))).into())
    }),
    row("sprig_b32dec", &[T], T, "out of base32", (r#"{{ sprig_b32dec "ME======" }}"#, "a"), |_, a| {
        Ok(codes::out_of_base32(text_at(a, 0)).into())
    }),
    row(
        "sprig_sha1sum",
        &[T],
        T,
        "SHA-1, in hexadecimal",
        (r#"{{ sprig_sha1sum "a" }}"#, "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
        |_, a| Ok(hex(&Sha1::digest(octets::bytes(text_at(a, 0)))).into()),
    ),
    row(
        "sprig_sha256sum",
        &[T],
        T,
        "SHA-256, in hexadecimal",
        (r#"{{ sprig_sha256sum "a" | sprig_trunc 8 }}"#, "ca978112"),
        |_, a| Ok(hex(&Sha256::digest(octets::bytes(text_at(a, 0)))).into()),
    ),
    row(
        "sprig_sha512sum",
        &[T],
        T,
        "SHA-512, in hexadecimal",
        (r#"{{ sprig_sha512sum "a" | sprig_trunc 8 }}"#, "1f40fc92"),
        |_, a| Ok(hex(&Sha512::digest(octets::bytes(text_at(a, 0)))).into()),
    ),
    row("sprig_adler32sum", &[T], T, "Adler-32", (r#"{{ sprig_adler32sum "a" }}"#, "6422626"), |_, a| {
        Ok(codes::adler(text_at(a, 0)).to_string().into())
    }),
    row(
        "sprig_urlParse",
        &[T],
        DICT,
        "the parts of a URL",
        (r#"{{ (sprig_urlParse "http://h:80/p").host }}"#, "h:80"),
        |_, a| url::parse(text_at(a, 0)),
    ),
    row(
        "sprig_urlJoin",
        &[DICT],
        T,
        "a URL of its parts",
        (r#"{{ sprig_urlJoin (sprig_dict "scheme" "http" "host" "h" "path" "/p") }}"#, "http://h/p"),
        |_, a| Ok(url::join(at(a, 0)).into()),
    ),
    row(
        "sprig_duration",
        &[ANY],
        T,
        "seconds as hours, minutes and seconds",
        (r#"{{ sprig_duration "95" }}"#, "1m35s"),
        |_, a| {
            Ok(span::written(match at(a, 0) {
                Value::Int(gotemplate::IntKind::Int, _) => 0,
                seconds => int(seconds),
            })
            .into())
        },
    ),
    row(
        "sprig_durationRound",
        &[ANY],
        T,
        "the largest unit of a duration",
        (r#"{{ sprig_durationRound "2h10m5s" }}"#, "2h"),
        |_, a| Ok(span::rounded(at(a, 0)).into()),
    ),
    row(
        "sprig_semver",
        &[T],
        Type::Opaque("version"),
        "the parts of a version: Major, Minor, Patch, Prerelease, Metadata, Original",
        (r#"{{ (sprig_semver "1.2.3").Minor }}"#, "2"),
        |_, a| semver::parts(text_at(a, 0)),
    ),
    row(
        "sprig_semverCompare",
        &[T, T],
        B,
        "whether a version fits a range",
        (r#"{{ sprig_semverCompare "^1.2" "1.4.0" }}"#, "true"),
        |_, a| semver::fits(text_at(a, 0), text_at(a, 1)).map(Value::Bool),
    ),
];

fn written(a: &[Value], pretty: bool, escaped: bool) -> Result<String, String> {
    json::write(at(a, 0), Style { pretty, escaped })
}

/// Go's kind of a value.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "invalid",
        Value::NilPtr(_) => "ptr",
        Value::Bool(_) => "bool",
        Value::Int(gotemplate::IntKind::Int, _) => "int",
        Value::Int(..) => "int64",
        Value::Uint(gotemplate::UintKind::U8, _) => "uint8",
        Value::Uint(..) => "uint64",
        Value::Float(_) => "float64",
        Value::Str(_) => "string",
        Value::Slice(_) => "slice",
        Value::Map(_) => "map",
        Value::Struct(record) if record.pointer => "ptr",
        Value::Struct(_) => "struct",
        Value::Counter(..) => "chan",
        Value::Object(_) => "ptr",
    }
}
