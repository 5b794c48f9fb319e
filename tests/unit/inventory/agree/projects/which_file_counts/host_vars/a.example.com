h: a
