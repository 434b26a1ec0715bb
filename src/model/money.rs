//! stub
#[derive(Debug, Clone, Copy, PartialEq, Eq)] pub struct Money(i64);
impl Money { pub fn from_spelling(s:&str)->Option<Self>{super::decimal::scaled(s,9).map(Self)} pub fn nanos(self)->i64{self.0} pub fn from_nanos(n:i64)->Option<Self>{Some(Self(n))} }
impl std::fmt::Display for Money { fn fmt(&self,f:&mut std::fmt::Formatter<'_>)->std::fmt::Result{f.write_str(&super::decimal::print_scaled(self.0.into(),9))}}
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)] pub struct CostSum(i128);
impl CostSum { pub fn add(&mut self,m:Money){self.0+=i128::from(m.0)} pub fn sub(&mut self,m:Money){self.0-=i128::from(m.0)} }
impl std::fmt::Display for CostSum { fn fmt(&self,f:&mut std::fmt::Formatter<'_>)->std::fmt::Result{f.write_str(&super::decimal::print_scaled(self.0,9))}}
