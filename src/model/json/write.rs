//! Writing strings, spelt as serde_json and the engine spell them.

use crate::model::window::plain_prefix;

/// Appends `text` as a JSON string, escaped as serde_json does it.
pub(in crate::model) fn put_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    put_text(text, out);
    out.push(b'"');
}

/// Appends `text` escaped as a JSON string is, without the quotes. It is never longer than what it was read from.
pub fn put_text(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_prefix(rest));
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = special.split_first() else {
            break;
        };
        let letter = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x8 => b'b',
            0xc => b'f',
            _ => b'u',
        };
        out.extend_from_slice(&[b'\\', letter]);
        if letter == b'u' {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(b"00");
            out.extend_from_slice(&digits);
        }
        rest = behind;
    }
}

/// Appends a surrogate without its other half, as `JSON.stringify` spells it.
pub fn put_lone(surrogate: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\\u{surrogate:04x}").as_bytes());
}
