"""Every query, as functions of a session. Other rooms hold a session and pass it here; none builds SQL."""
