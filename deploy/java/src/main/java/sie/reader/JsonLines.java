package sie.reader;

import static sie.reader.MessageException.require;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Rows as JSON lines: an object each, values of the contract's types. What others nest in it is passed over. */
final class JsonLines {
    private static final JsonFactory JSON =
            JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();
    private static final BigInteger HASHES = BigInteger.ONE.shiftLeft(Long.SIZE);

    private final List<Map<String, Object>> rows = new ArrayList<>();
    private final Map<String, Integer> widths = new HashMap<>();
    private Contract contract;
    private Set<String> columns;
    private int cells;

    private JsonLines() {}

    static List<Map<String, Object>> read(byte[] message) throws IOException {
        require(message.length <= Bounds.MOST_BYTES, "more than " + Bounds.MOST_BYTES + " bytes");
        JsonLines lines = new JsonLines();
        lines.text(StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(message)).toString());
        return lines.rows;
    }

    private void text(String text) throws IOException {
        for (int at = 0; at < text.length(); ) {
            int end = text.indexOf('\n', at);
            end = end < 0 ? text.length() : end;
            require(rows.size() < Bounds.MOST_ROWS, "more than " + Bounds.MOST_ROWS + " lines");
            line(text.substring(at, end));
            at = end + 1;
        }
    }

    private void line(String line) throws IOException {
        if (contract == null) {
            columns = names(line);
            contract = Contract.of(columns);
        }
        Map<String, Object> row = new LinkedHashMap<>();
        try (JsonParser parser = JSON.createParser(line)) {
            require(parser.nextToken() == JsonToken.START_OBJECT, "a line is no object");
            for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
                parser.nextToken();
                if (columns.contains(name) && !isNested(parser, name)) {
                    row.put(name, value(parser, name));
                } else {
                    parser.skipChildren();
                }
            }
            require(parser.currentToken() == JsonToken.END_OBJECT && parser.nextToken() == null, "a line is no object");
        }
        for (String name : columns) {
            if (contract.kind(name) != null) {
                row.putIfAbsent(name, null);
            }
        }
        contract.check(row);
        rows.add(row);
    }

    /** Columns are those of the first line. */
    private static Set<String> names(String line) throws IOException {
        Map<String, Boolean> found = new LinkedHashMap<>();
        try (JsonParser parser = JSON.createParser(line)) {
            parser.nextToken();
            for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
                parser.nextToken();
                parser.skipChildren();
                found.put(name, true);
            }
        }
        require(found.size() <= Bounds.MOST_COLUMNS, "more than " + Bounds.MOST_COLUMNS + " columns");
        return found.keySet();
    }

    private boolean isNested(JsonParser parser, String name) {
        return contract.kind(name) == null && parser.currentToken().isStructStart();
    }

    private Object value(JsonParser parser, String name) throws IOException {
        Contract.Kind kind = contract.kind(name);
        if (kind == null || !kind.isList()) {
            return scalar(parser, name, kind);
        }
        require(parser.currentToken() == JsonToken.START_ARRAY, "column " + name + " is no list");
        List<Object> items = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
            items.add(scalar(parser, name, kind));
        }
        Integer width = widths.putIfAbsent(name, items.size());
        require(width == null || width == items.size(), "lists of several lengths in column " + name);
        return items;
    }

    private Object scalar(JsonParser parser, String name, Contract.Kind kind) throws IOException {
        require(++cells <= Bounds.MOST_CELLS, "more than " + Bounds.MOST_CELLS + " values");
        JsonToken token = parser.currentToken();
        if (token == JsonToken.VALUE_NULL) {
            return null;
        }
        if (kind == null) {
            return token.isNumeric() ? (Object) Double.valueOf(parser.getText())
                    : token.isBoolean() ? (Object) parser.getBooleanValue() : text(parser);
        }
        boolean fits = switch (kind) {
            case TEXT -> token == JsonToken.VALUE_STRING;
            case FLAG -> token.isBoolean();
            case REAL, DENSE -> token.isNumeric();
            default -> token == JsonToken.VALUE_NUMBER_INT;
        };
        require(fits, "column " + name + " has values of another type");
        return switch (kind) {
            case TEXT -> text(parser);
            case FLAG -> parser.getBooleanValue();
            case REAL -> Double.valueOf(parser.getText());
            case DENSE -> Float.valueOf(parser.getText());
            case HASH -> hash(parser);
            case LONG -> parser.getLongValue();
            default -> whole(parser, name, kind);
        };
    }

    private static String text(JsonParser parser) throws IOException {
        String text = parser.getText();
        require(StandardCharsets.UTF_8.newEncoder().canEncode(text), "half a character");
        return text;
    }

    private static BigInteger hash(JsonParser parser) throws IOException {
        BigInteger found = parser.getBigIntegerValue();
        require(found.signum() >= 0 && found.compareTo(HASHES) < 0, "a hash of more than 64 bits");
        return found;
    }

    private static Object whole(JsonParser parser, String name, Contract.Kind kind) throws IOException {
        long found = parser.getLongValue();
        boolean fits = switch (kind) {
            case BYTE -> found == (byte) found;
            case FEATURES -> found == (found & 0xFFFFFFFFL);
            default -> found == (int) found;
        };
        require(fits, "column " + name + " has numbers out of bounds");
        return kind == Contract.Kind.FEATURES ? (Object) found : (Object) (int) found;
    }
}
