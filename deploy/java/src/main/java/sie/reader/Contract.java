package sie.reader;

import static sie.reader.MessageException.require;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.arrow.vector.types.Types.MinorType;

/**
 * The columns of weights and of samples, and what their values may be: what a message of any layout must come to. Parts
 * of log weight ({@code f_}) may be missing, as older workers knew fewer; newer ones may add columns.
 */
final class Contract {
    /** What a column's values are: Arrow's type of them, of lists that of their items. */
    enum Kind {
        TEXT(MinorType.VARCHAR),
        BYTE(MinorType.TINYINT),
        INT(MinorType.INT),
        LONG(MinorType.BIGINT),
        HASH(MinorType.UINT8),
        REAL(MinorType.FLOAT8),
        FLAG(MinorType.BIT),
        FEATURES(MinorType.UINT4),
        DENSE(MinorType.FLOAT4);

        final MinorType type;

        Kind(MinorType type) {
            this.type = type;
        }

        boolean isList() {
            return this == FEATURES || this == DENSE;
        }
    }

    static final Contract WEIGHTS = new Contract(
            Set.of("label", "error"),
            """
            event_id TEXT, event_type TEXT, partition INT, offset LONG, revision INT, final FLAG, generation LONG,
            model_version TEXT, event_time_ms LONG, published_ms LONG, user_id TEXT, item_id TEXT, label BYTE,
            probability REAL, error REAL, feature_score REAL, noise_probability REAL, weight REAL, uncertainty REAL""");

    static final Contract SAMPLES = new Contract(
            Set.of(),
            """
            event_id TEXT, event_type TEXT, partition INT, offset LONG, revision INT, generation LONG,
            event_time_ms LONG, settled_ms LONG, label BYTE, probability REAL, error REAL, feature_score REAL,
            noise_probability REAL, weight REAL, user_hash HASH, item_hash HASH, category_hash HASH, features FEATURES,
            dense DENSE""");

    /** Of parts of log weight; e to the power of it is a number still. */
    private static final double LARGEST_LOG = 700.0;

    private final Map<String, Kind> kinds = new LinkedHashMap<>();
    private final Set<String> nullable;

    private Contract(Set<String> nullable, String columns) {
        this.nullable = nullable;
        for (String column : columns.split(",\\s+")) {
            String[] words = column.trim().split(" ");
            kinds.put(words[0], Kind.valueOf(words[1]));
        }
    }

    /** That of rows which have these columns. */
    static Contract of(Set<String> columns) throws MessageException {
        Contract found = columns.contains("settled_ms") ? SAMPLES : WEIGHTS;
        for (String name : found.kinds.keySet()) {
            require(columns.contains(name), "column " + name + " is missing");
        }
        return found;
    }

    /** What a column's values are; null if this does not know it. */
    Kind kind(String column) {
        return kinds.getOrDefault(column, isPart(column) ? Kind.REAL : null);
    }

    /** Nulls where there may be some, and numbers within bounds: others would be multiplied into somebody's loss. */
    void check(Map<String, Object> row) throws MessageException {
        for (Map.Entry<String, Object> cell : row.entrySet()) {
            check(cell.getKey(), cell.getValue());
        }
    }

    private void check(String name, Object value) throws MessageException {
        if (value == null) {
            require(nullable.contains(name) || kind(name) == null, "column " + name + " has nulls");
        } else if (value instanceof Double || value instanceof Float) {
            double number = ((Number) value).doubleValue();
            double most = isPart(name) ? LARGEST_LOG : Double.MAX_VALUE;
            require(Math.abs(number) <= most, "column " + name + " has values that are not finite or too large");
        } else if (value instanceof List<?> items) {
            for (Object item : items) {
                check(name, item);
            }
        }
    }

    private static boolean isPart(String column) {
        return column.startsWith("f_");
    }
}
