//! stub
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)] pub struct Millis(pub i64);
impl Millis { pub fn parse_rfc3339(s:&str)->Option<Self>{chrono::DateTime::parse_from_rfc3339(s).ok().map(|d|Self(d.timestamp_millis()))}
 pub fn from_system(t: std::time::SystemTime)->Self{ chrono::DateTime::<chrono::Utc>::from(t).timestamp_millis().into() } }
impl From<i64> for Millis { fn from(v:i64)->Self{Self(v)} }
impl std::fmt::Display for Millis { fn fmt(&self,f:&mut std::fmt::Formatter<'_>)->std::fmt::Result{ match chrono::DateTime::from_timestamp_millis(self.0) {Some(d)=>f.write_str(&d.to_rfc3339_opts(chrono::SecondsFormat::Millis,true)),None=>f.write_str("")}}}
