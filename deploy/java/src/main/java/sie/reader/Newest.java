package sie.reader;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * Of each event the newest statement: the highest revision, and of one revision the highest generation. A worker that
 * was killed says things again, so rows may come twice or late. Remembers as many events as it is told to, the newest;
 * of one that it has forgotten a repeat is news again.
 */
public final class Newest {
    private record Event(long partition, long offset) {}

    private record Seen(long revision, long generation) {}

    private final Map<Event, Seen> seen;

    public Newest(int events) {
        seen = new LinkedHashMap<>() {
            private static final long serialVersionUID = 1;

            @Override
            protected boolean removeEldestEntry(Map.Entry<Event, Seen> eldest) {
                return size() > events;
            }
        };
    }

    /** The row, if it says something newer about its event than any before. */
    public Optional<Map<String, Object>> admit(Map<String, Object> row) {
        Event event = new Event(whole(row, "partition"), whole(row, "offset"));
        Seen now = new Seen(whole(row, "revision"), whole(row, "generation"));
        Seen before = seen.get(event);
        boolean isNews = before == null
                || now.revision() > before.revision()
                || (now.revision() == before.revision() && now.generation() > before.generation());
        if (isNews) {
            seen.remove(event); // so that it becomes the newest
            seen.put(event, now);
        }
        return isNews ? Optional.of(row) : Optional.empty();
    }

    private static long whole(Map<String, Object> row, String column) {
        return ((Number) row.get(column)).longValue();
    }
}
