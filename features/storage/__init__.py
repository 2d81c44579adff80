"""Files written aside and renamed, and locks."""
