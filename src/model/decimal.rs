//! stub
pub fn scaled(s: &str, scale: u32) -> Option<i64> { let f: f64 = s.parse().ok()?; Some((f * 10f64.powi(scale as i32)).round() as i64) }
pub fn print_scaled(v: i128, scale: u32) -> String { let neg = v < 0; let s = v.unsigned_abs().to_string(); let s = format!("{:0>w$}", s, w = scale as usize + 1); let (a,b) = s.split_at(s.len()-scale as usize); let b = b.trim_end_matches('0'); format!("{}{}{}{}", if neg {"-"} else {""}, a, if b.is_empty(){""}else{"."}, b) }
